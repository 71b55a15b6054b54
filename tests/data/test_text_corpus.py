"""`data=text` with files of the user: documents, splits, and what is wrong in them."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from specflow.cli.main import main
from specflow.config.sections.data_sources import TextConfig
from specflow.data import build_data
from specflow.data.text_corpus import CorpusSource
from specflow.data.text_documents import Document, read_documents
from specflow.diagnostics.errors import DataError

contents = st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=6)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _documents(paths, column="text"):
    return read_documents(paths, key="data.files", column=column)


def _train_text(data):
    return bytes(data.train.take(slice(None))[0]["tokens"].astype(np.uint8).reshape(-1))


@given(contents, st.integers(1, 5), st.sampled_from([None, 0, 10]), st.data())
def test_windows_are_those_of_the_joined_documents(texts, length, separator, data):
    end = b"" if separator is None else bytes([separator])
    stream = b"".join(text + end for text in texts)
    documents = [Document(f"d{i}", text) for i, text in enumerate(texts)]
    if len(stream) < length + 1:
        with pytest.raises(DataError, match="at least"):
            CorpusSource(documents, length, separator=separator)
        return
    source = CorpusSource(documents, length, separator=separator)
    count = (len(stream) - 1) // length
    assert len(source) == count
    rows = data.draw(st.lists(st.integers(0, count - 1), max_size=6))
    features, labels = source.take(np.array(rows, np.int64))
    starts = [row * length for row in rows]
    assert features["tokens"].tolist() == [list(stream[s : s + length]) for s in starts]
    assert labels.tolist() == [list(stream[s + 1 : s + 1 + length]) for s in starts]
    whole = np.frombuffer(stream, np.uint8)[1 : 1 + count * length]
    np.testing.assert_array_equal(source.column("labels"), whole.reshape(-1, length))
    ids = source.ids
    for row in range(count):
        number = int(ids["document"][row][1:])
        before = sum(len(text + end) for text in texts[:number])
        assert before + ids["byte"][row] == row * length


def test_files_globs_and_lines_of_json_are_documents_in_order(folder):
    (folder / "b.txt").write_bytes(b"\xef\xbb\xbfsecond")
    (folder / "a.txt").write_text("first")
    (folder / "empty.txt").write_text("")
    lines = [{"text": "third é"}, {"text": ""}, {"text": "fourth", "more": 1}]
    jsonl = "\n\n".join(json.dumps(line) for line in lines) + "\r\n"
    (folder / "c.jsonl").write_text(jsonl)
    documents = _documents(["*.txt", "c.jsonl"])
    assert [(each.name, bytes(each.content).decode()) for each in documents] == [
        ("a.txt", "first"),
        ("b.txt", "second"),
        ("c.jsonl:1", "third é"),
        ("c.jsonl:5", "fourth"),
    ]


def test_a_large_file_stays_on_disk_and_is_checked_to_its_last_byte(folder):
    text = "é" * (3 << 19) + "x"  # 3 MiB, of which each block ends inside of a letter.
    (folder / "large.txt").write_bytes(b"y" + text.encode())
    (document,) = _documents(["large.txt"])
    assert isinstance(document.content, memoryview)
    source = CorpusSource([document], 64, separator=None)
    tokens, _ = source.take(np.array([len(source) - 1]))
    last = (b"y" + text.encode())[(len(source) - 1) * 64 :][:64]
    assert bytes(tokens["tokens"][0].astype(np.uint8)) == last
    with (folder / "large.txt").open("ab") as file:
        file.write(b"\xc3")
    place = f"{(3 << 20) + 3:,}"
    shown = rf"large\.txt:1: byte {place} of the line is 0xc3 \(after '{'é' * 19}x'\)"
    with pytest.raises(DataError, match=shown):
        _documents(["large.txt"])


def test_all_that_is_wrong_in_files_is_named_with_its_byte_or_line(folder):
    (folder / "latin.txt").write_bytes("naïve".encode("latin-1"))
    (folder / "wide.txt").write_bytes("text".encode("utf-16"))
    lines = ['{"text": 3}', "[1]", '{"body": "x"}', '{"text": "x"', '{"text": "good"}']
    (folder / "c.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        _documents(["*.txt", "c.jsonl", "none/*.txt"])
    hint = "data.column names another key."
    needed = f"Expected an object with the text in 'text'. {hint}"
    assert [str(each) for each in caught.value.diagnostics] == [
        "data.files: no file matches 'none/*.txt'.",
        "latin.txt:1: byte 3 of the line is 0xef (after 'na'), which is not UTF-8. "
        "Expected text in UTF-8. If it is Windows-1252 or Latin-1, convert it: "
        "iconv -f WINDOWS-1252 -t UTF-8 latin.txt > latin.utf8.txt.",
        "wide.txt: is text in UTF-16, not in UTF-8. Expected text in UTF-8. "
        "Convert it: iconv -f UTF-16 -t UTF-8 wide.txt > wide.utf8.txt.",
        f"c.jsonl:1: text is int. {needed}",
        f"c.jsonl:2: is list, and no object. {needed}",
        f"c.jsonl:3: has no 'text', but body. {needed}",
        "c.jsonl:4: is not JSON at byte 12: Expecting ',' delimiter. " + needed,
    ]


def test_many_wrong_lines_are_counted(folder):
    (folder / "c.jsonl").write_text("3\n" * 50)
    with pytest.raises(DataError) as caught:
        _documents(["c.jsonl"])
    assert len(caught.value.diagnostics) == 11
    last = str(caught.value.diagnostics[-1])
    assert last == "data.files: 40 more files or lines are wrong."


@pytest.mark.parametrize("rule", ["random", "hash"])
def test_whole_documents_are_held_out_by_either_rule(folder, rule):
    lines = [json.dumps({"text": f"{i:03d}" * 20}) for i in range(100)]
    (folder / "c.jsonl").write_text("\n".join(lines))
    config = TextConfig(files=["c.jsonl"], length=10, eval_fraction=0.3, split_by=rule)
    data: Any = build_data(config)
    names = [set(source.ids["document"].tolist()) for source in (data.train, data.eval)]
    assert not names[0] & names[1]
    assert 15 <= len(names[1]) <= 45
    if rule == "hash":  # Documents stay where they are when others are added.
        (folder / "a.jsonl").write_text("\n".join(lines[::-1]) + '\n{"text": "new"}')
        more = config.model_copy(update={"files": ["a.jsonl", "c.jsonl"]})
        again: Any = build_data(more)
        moved = [
            {name for name in source.ids["document"].tolist() if name[0] == "c"}
            for source in (again.train, again.eval)
        ]
        assert moved == names
        assert len(again.eval) > len(data.eval)


def test_one_document_and_files_without_text_are_refused(folder):
    (folder / "a.txt").write_text("one text")
    with pytest.raises(DataError, match=r"a\.txt is the only document with text"):
        build_data(TextConfig(files=["a.txt"]))
    (folder / "b.txt").write_text("")
    with pytest.raises(DataError, match="1 files have no text"):
        build_data(TextConfig(files=["b.txt"]))


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"files": "a.txt", "root": "texts"}, "root"),
        ({"separator": 0}, "separator"),
        ({"split_by": "hash"}, "split_by"),
    ],
)
def test_settings_of_files_and_of_folders_exclude_each_other(values, key):
    with pytest.raises(ValidationError) as caught:
        TextConfig.model_validate(values)
    assert [error["loc"] for error in caught.value.errors()] == [(key,)]


def test_a_small_language_model_trains_on_files_and_is_exported(folder, capsys):
    words = ["the cat sat on the mat. ", "a dog ran to the cat. "]
    for i in range(12):
        (folder / f"story{i}.txt").write_text(words[i % 2] * 30)
    (folder / "other.txt").write_text(words[0] * 20)
    train = [
        "train",
        "experiment=stdlib_lm",
        "data.files=story*.txt",
        "data.separator=0",
        "data.length=16",
        "data.eval_sets={other: other.txt}",
        "model={layers: 1, width: 32, heads: 2, max_length: 16}",
        "loop={train_steps: 60, batch_size: 32, eval_every: 60, eval_steps: null}",
        "output.reporters=[]",
        "output.dir=run",
    ]
    assert main(train) == 0, capsys.readouterr().err
    result = json.loads((folder / "run/result.json").read_text())
    # ln 256 is 5.5 nats a byte; the stories have about 20 different bytes: 3 nats.
    assert result["eval"]["loss"] < 2.8
    assert result["eval"]["other/loss"] < 3.0
    assert main(["predict", "run=run", "--output", "out.jsonl"]) == 0
    first = json.loads((folder / "out.jsonl").read_text().splitlines()[0])
    assert first["document"].startswith("story")
    assert first["byte"] == 0
    assert main(["export", "run=run"]) == 0
    assert list((folder / "run/export").iterdir())
