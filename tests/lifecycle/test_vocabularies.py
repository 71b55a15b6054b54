"""Vocabularies of a warm start, against the lines that bytes split at \\n give."""

import numpy as np
import pytest

from specflow.diagnostics.errors import ConfigError
from specflow.lifecycle.warm_start import (
    Vocabulary,
    WarmStartSettings,
    _by_token,
    _tokens,
)

OLD = ["[PAD]", "the", "\u0085", "cat", "\x0b", "sat", "\u2028", "\x0c", "\x1c", "mat"]
NEW = ["[PAD]", "sat", "mat", "\u2028", "cat", "dog", "the"]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "open"])
def test_rows_follow_tokens_that_are_line_separators_of_unicode(
    tmp_path, mark, ending, last
):
    """Row i of the old table holds i; the right rows are places in the lists."""
    for name, tokens in {"old": OLD, "new": NEW}.items():
        text = ending.join(tokens) + (ending if last else "")
        (tmp_path / name).write_bytes(mark + text.encode())
        assert _tokens(tmp_path / name) == tokens
    settings = WarmStartSettings(
        "run", vocabularies={"emb": Vocabulary(tmp_path / "new", tmp_path / "old")}
    )
    value = np.arange(len(OLD), dtype=np.float32)[:, None]
    initial = np.full((len(NEW), 1), -1, np.float32)
    found = _by_token(value, initial, settings, "emb")[:, 0].tolist()
    assert found == [OLD.index(token) if token in OLD else -1 for token in NEW]


def test_empty_lines_are_tokens_but_for_the_end_of_the_file(tmp_path):
    (tmp_path / "v").write_bytes(b"a\n\nb\n")
    assert _tokens(tmp_path / "v") == b"a\n\nb".decode().split("\n")
    (tmp_path / "v").write_bytes(b"")
    assert _tokens(tmp_path / "v") == []


def test_a_repeated_token_in_the_old_vocabulary_raises(tmp_path):
    """tf.lookup refuses it too: "HashTable has different value for same key"."""
    (tmp_path / "old").write_bytes(b"a\nb\na\n")
    (tmp_path / "new").write_bytes(b"b\nb\n")  # Two rows may begin as the same one.
    vocabulary = Vocabulary(tmp_path / "new", tmp_path / "old")
    settings = WarmStartSettings("run", vocabularies={"emb": vocabulary})
    value, initial = np.ones((3, 1)), np.zeros((2, 1))
    with pytest.raises(ConfigError) as caught:
        _by_token(value, initial, settings, "emb")
    assert str(caught.value) == (
        f"{tmp_path / 'old'}: lines 1 and 3 are both 'a'. Expected a vocabulary with "
        "every token once."
    )
    (tmp_path / "old").write_bytes(b"a\nb\nc\n")
    assert _by_token(value, initial, settings, "emb").tolist() == [[1.0], [1.0]]


def test_a_vocabulary_that_is_not_text_raises(tmp_path):
    (tmp_path / "v").write_bytes(b"a\n\xff\xfe\n")
    with pytest.raises(ConfigError, match="cannot be read: is not UTF-8"):
        _tokens(tmp_path / "v")
    (tmp_path / "v").write_text("a\n", encoding="utf-16")
    with pytest.raises(ConfigError, match="cannot be read: is text in UTF-16, not in"):
        _tokens(tmp_path / "v")


def test_rows_of_another_width_are_no_rows_of_these_tokens(tmp_path):
    """NumPy would repeat a row of one column over all columns, silently."""
    (tmp_path / "v").write_bytes(b"a\nb\n")
    settings = WarmStartSettings(
        "run", vocabularies={"emb": Vocabulary(tmp_path / "v", tmp_path / "v")}
    )
    found = _by_token(np.ones((2, 1)), np.zeros((2, 8)), settings, "emb")
    assert found.shape == (2, 1)
