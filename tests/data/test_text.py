"""Text as bytes: whole files held out, windows that predict each byte once."""

import json
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.config.sections.data_sources import TextConfig
from specflow.data.byte_text import WindowSource, text, text_files
from specflow.data.source import Source, check_range
from specflow.diagnostics.errors import DataError


@pytest.fixture
def root(tmp_path):
    """Ten files of 40 bytes, each of one letter, in two folders."""
    (tmp_path / "sub").mkdir()
    for number in range(10):
        folder = tmp_path / "sub" if number % 2 else tmp_path
        (folder / f"{number}.txt").write_bytes(bytes([97 + number]) * 40)
    (tmp_path / "other.md").write_text("not text")
    return tmp_path


@given(st.binary(min_size=2, max_size=200), st.integers(1, 20))
def test_every_byte_but_the_first_is_predicted_once(stream, length):
    if len(stream) < length + 1:
        return
    source = WindowSource(np.frombuffer(stream, np.uint8), length)
    features, labels = source.take(np.arange(len(source)))
    windows = (len(stream) - 1) // length
    assert isinstance(source, Source)
    assert len(source) == windows
    assert features["tokens"].dtype == labels.dtype == np.int32
    assert bytes(features["tokens"].astype(np.uint8)) == stream[: windows * length]
    assert bytes(labels.astype(np.uint8)) == stream[1 : windows * length + 1]


def test_windows_by_slice_by_row_and_by_column_are_the_same():
    source = WindowSource(np.arange(50, dtype=np.uint8), 4)
    features, labels = source.take(slice(3, 6))
    by_row, _ = source.take(np.array([3, 4, 5]))
    np.testing.assert_array_equal(features["tokens"], by_row["tokens"])
    np.testing.assert_array_equal(source.column("labels")[3:6], labels)
    np.testing.assert_array_equal(
        source.column("features.tokens")[3:6], features["tokens"]
    )
    spec_features, spec_labels = source.spec()
    assert spec_features["tokens"] == spec_labels
    assert (spec_labels.shape, spec_labels.dtype) == ((4,), np.int32)
    check_range(source, "labels", 0, 256)


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(DataError) as caught:
        WindowSource(np.zeros(9, np.uint8), 4).column("labels.y")
    assert str(caught.value) == (
        "labels.y: there is no such array. Expected one of features.tokens, labels. "
        "Did you mean labels?"
    )


def test_whole_files_are_held_out(root):
    config = TextConfig(root=str(root), pattern="*.txt", length=8, eval_fraction=0.3)
    train, held, *_ = text(config)
    letters = [
        {int(byte) for byte in np.unique(source.take(slice(None))[0]["tokens"])}
        for source in (train, held)
    ]
    assert len(letters[1]) == 3
    assert letters[0] | letters[1] == set(range(97, 107))
    assert not letters[0] & letters[1]


def test_the_same_config_gives_the_same_windows(root):
    config = TextConfig(
        root=str(root), pattern="*.txt", length=8, max_bytes=200, eval_fraction=0.4
    )
    first, second = (text(config)[0].take(slice(None))[0] for _ in range(2))
    np.testing.assert_array_equal(first["tokens"], second["tokens"])


def test_no_more_than_max_bytes_are_read(root):
    config = TextConfig(root=str(root), pattern="*.txt", length=1, max_bytes=130)
    train, held, *_ = text(config.model_copy(update={"eval_fraction": 0.5}))
    # One byte a window: a stream of n bytes has n - 1 of them.
    assert len(train) + len(held) == 130 - 2


def test_files_are_found_at_any_depth_in_the_order_of_their_paths(root):
    (root / "skipped").mkdir()
    (root / "skipped" / "a.txt").write_text("a")
    found = text_files(root, "*.txt", skip=frozenset({"skipped"}))
    assert found == sorted(found)
    assert found[:2] == ["0.txt", "2.txt"]
    assert found[-1] == "sub/9.txt"
    assert text_files(root, "sub/*.txt", skip=frozenset()) == found[5:]


def test_the_standard_library_is_read_without_its_tests_and_packages():
    train, held, *_ = text(TextConfig(max_bytes=200_000, length=64))
    assert 200_000 - 200 < 64 * (len(train) + len(held)) < 200_000
    library = Path(sysconfig.get_path("stdlib"))
    names = text_files(library, "*.py", skip=frozenset({"site-packages", "test"}))
    assert Path(json.__file__).relative_to(library).as_posix() in names


def _message(**fields) -> str:
    with pytest.raises(DataError) as caught:
        text(TextConfig(**fields))
    return str(caught.value)


def test_a_missing_root_is_named(tmp_path):
    missing = str(tmp_path / "nowhere")
    assert _message(root=missing) == (
        f"data.root: there is no folder {missing!r}. "
        "Expected a folder with text files, or stdlib."
    )


def test_a_pattern_that_matches_nothing_is_named(root):
    assert _message(root=str(root), pattern="*.rst") == (
        f"{root}: no file with text matches '*.rst'. "
        "Expected at least two files; see data.root and data.pattern."
    )


def test_a_byte_order_mark_is_no_text(root):
    config = TextConfig(root=str(root), pattern="*.txt", length=8, eval_fraction=0.3)
    before = [source.take(slice(None))[0]["tokens"] for source in text(config)[:2]]
    for file in root.rglob("*.txt"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    after = [source.take(slice(None))[0]["tokens"] for source in text(config)[:2]]
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])


def test_text_in_utf_16_is_refused_by_name(root):
    (root / "4.txt").write_text("four", encoding="utf-16")
    assert _message(root=str(root), pattern="*.txt") == (
        f"{root / '4.txt'}: is text in UTF-16, not in UTF-8."
    )


def test_one_file_is_too_few(root):
    assert _message(root=str(root), pattern="*.md") == (
        f"{root}: 1 file of text matches '*.md'. "
        "Expected at least two: whole files are held out for evaluation."
    )


def test_a_share_that_holds_out_no_file_is_named(root):
    assert _message(root=str(root), pattern="*.txt", eval_fraction=0.01) == (
        "data.eval_fraction: 0.01 of 10 files holds out 0. "
        "Expected at least one file to train on and one to evaluate on."
    )


def test_too_few_bytes_for_one_window_are_named(root):
    assert _message(root=str(root), pattern="*.txt", length=128) == (
        f"{root}: 40 bytes to evaluate on. "
        "Expected at least 129: data.length and one more."
    )


@pytest.mark.parametrize(
    "pattern",
    [
        "*.txt",
        "**/*.txt",
        "**/s*.txt",
        "**/*",
        "*",
        "sub/*.txt",
        "sub/**/*.txt",
        "**/sub/**/s*.txt",
        "sub/**",
        "./sub/*",
        "[st]*.txt",
        "deep/s?.txt",
        "a.txt/*",
    ],
)
def test_patterns_find_what_pathlib_finds(tmp_path, pattern):
    """`Path.rglob`, of which a last `**` finds files since Python 3.13."""
    for name in ("top1.txt", "sub/s1.txt", "sub/deep/s2.txt", "other/s3.md", ".h.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    asked = f"{pattern}/*" if pattern.endswith("**") else pattern
    expected = {
        path.relative_to(tmp_path).as_posix()
        for path in tmp_path.rglob(asked)
        if path.is_file()
    }
    assert text_files(tmp_path, pattern, skip=frozenset()) == sorted(expected)


def test_two_stars_alone_take_all_files(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a.txt", "sub/b.md"):
        (tmp_path / name).touch()
    assert text_files(tmp_path, "**", skip=frozenset()) == ["a.txt", "sub/b.md"]
