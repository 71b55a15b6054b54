"""Text by trained tokenizers in files; expected tokens are those of their packages."""

import dataclasses
import hashlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from specflow.cli.main import main
from specflow.columns import FittedColumns, TokenizerFile
from specflow.commands.run_data import data_of_run
from specflow.compose import compose
from specflow.config.sections.data_sources import TextConfig
from specflow.data import build_data
from specflow.diagnostics.errors import ConfigError, DataError
from specflow.estimator.data_lock import write_files
from specflow.experiment import completed_by_data
from specflow.output import RunDirectory, write_text

TEXTS = [
    f"the {animal} sat on mat {number}, naïve and 日本. " * (1 + number % 3)
    for number in range(12)
    for animal in ("cat", "dog", "owl")
]


@pytest.fixture(params=["tokenizer.json", "words.model"])
def tokenizer(request, tmp_path, monkeypatch):
    """Path of a tokenizer of the texts, its package's encoding, and its end token."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stories").mkdir()
    for number, text in enumerate(TEXTS):
        (tmp_path / f"stories/{number:02}.txt").write_text(text, encoding="utf-8")
    if request.param == "words.model":
        package = pytest.importorskip("sentencepiece")
        content = io.BytesIO()
        package.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXTS),
            model_writer=content,
            vocab_size=35,
            minloglevel=2,
        )
        (tmp_path / request.param).write_bytes(content.getvalue())
        model = package.SentencePieceProcessor(model_proto=content.getvalue())
        return request.param, model.encode, model.vocab_size(), model.eos_id()
    package = pytest.importorskip("tokenizers")
    model = package.Tokenizer(package.models.BPE())
    model.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = package.decoders.ByteLevel()
    trainer = package.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["</s>"],
        initial_alphabet=package.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(TEXTS, trainer)
    # What a file of a model for fine-tuning has.
    model.enable_truncation(4)
    model.enable_padding(length=8)
    model.save(request.param)
    plain = package.Tokenizer.from_file(request.param)
    plain.no_truncation()
    plain.no_padding()
    size = plain.get_vocab_size(with_added_tokens=True)
    encode = lambda text: plain.encode(text).ids  # noqa: E731
    return request.param, encode, size, plain.token_to_id("</s>")


def test_windows_have_the_tokens_of_the_documents_and_separators(tokenizer):
    path, encode, size, end = tokenizer
    settings = {"files": ["stories/*.txt"], "length": 8, "tokenizer": path}
    data = build_data(TextConfig(**settings, separator="</s>"))
    assert data.vocabulary == size
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert data.files.rows[path] == digest
    streams = []
    for source in (data.train, data.eval):
        documents = dict.fromkeys(source.ids["document"].tolist())
        texts = [Path(name).read_text(encoding="utf-8") for name in documents]
        stream = [token for text in texts for token in (*encode(text), end)]
        features, labels = source.take(slice(None))
        whole = features["tokens"].reshape(-1)
        assert whole.tolist() == stream[: len(whole)]
        assert labels.reshape(-1).tolist() == stream[1 : len(whole) + 1]
        assert len(stream) - len(whole) <= 8
        streams.append(stream)
    by_number = build_data(TextConfig(**settings, separator=end))
    np.testing.assert_array_equal(
        by_number.train.take(slice(None))[1], data.train.take(slice(None))[1]
    )
    with pytest.raises(DataError, match=r"'<end>' is no token of data\.tokenizer"):
        build_data(TextConfig(**settings, separator="<end>"))


@pytest.mark.parametrize("tokenizer", ["tokenizer.json"], indirect=True)
def test_tokens_are_kept_and_a_long_document_is_divided_at_lines(
    tokenizer, tmp_path, monkeypatch
):
    path, encode, _, _ = tokenizer
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("specflow.data.tokenized_documents._KEPT", 1)
    monkeypatch.setattr("specflow.data.tokenized_documents._PART", 100)
    lines = [f"{text}\n" for text in TEXTS]
    (tmp_path / "long.txt").write_text("".join(lines), encoding="utf-8")
    config = TextConfig(
        files=["long.txt", "stories/00.txt"],
        length=4,
        tokenizer=path,
        eval_fraction=0.5,
    )
    data = build_data(config)
    long, short = sorted((data.train, data.eval), key=len, reverse=True)
    assert set(long.ids["document"]) == {"long.txt"}
    taken = long.take(slice(None))[0]["tokens"].reshape(-1).tolist()
    # Lines are whole, so the texts of all parts are that of the document.
    text = TokenizerFile.read(path, key="").decode(np.array(taken))
    assert "".join(lines).startswith(text.rstrip("\ufffd"))
    assert len(text) > 0.99 * sum(map(len, lines))
    assert (
        short.take(slice(None))[0]["tokens"].reshape(-1).tolist()
        == (encode(TEXTS[0])[: 4 * len(short)])
    )
    monkeypatch.setattr(TokenizerFile, "encode", None)
    again = build_data(config)
    np.testing.assert_array_equal(
        again.train.take(slice(None))[0]["tokens"],
        data.train.take(slice(None))[0]["tokens"],
    )


def test_a_model_gets_the_size_of_the_vocabulary(tokenizer):
    path, _, size, _ = tokenizer
    words = ["experiment=stdlib_lm", "data.files=[stories/*.txt]", "data.length=8"]
    words += [f"data.tokenizer={path}", "model.vocabulary=null"]
    config = compose(words).config
    data = build_data(config.data)
    assert completed_by_data(config, data).model.vocabulary == size
    small = compose([*words, f"model.vocabulary={size - 1}"]).config
    with pytest.raises(ConfigError, match=f"got {size - 1}, and the text has {size}"):
        completed_by_data(small, data)
    arrays = build_data(compose(["experiment=digits"]).config.data)
    with pytest.raises(ConfigError, match="is null, and the data has no tokenizer"):
        completed_by_data(config, arrays)


@pytest.mark.parametrize("tokenizer", ["tokenizer.json"], indirect=True)
def test_a_run_and_its_export_have_the_tokenizer(tokenizer, tmp_path, capsys):
    path, _, _, _ = tokenizer
    words = ["experiment=stdlib_lm", "data.files=[stories/*.txt]", "data.length=8"]
    words += [f"data.tokenizer={path}", "model.vocabulary=null", "model.width=8"]
    words += ["model.layers=1", "model.heads=1", "loop.train_steps=1"]
    words += ["output.dir=run", "output.reporters=[]", "loop.eval_steps=1"]
    assert main(["train", *words]) == 0
    copied = tmp_path / "run" / f"tokenizer{path[path.index('.') :]}"
    content = (tmp_path / path).read_bytes()
    assert copied.read_bytes() == content
    recorded = json.loads((tmp_path / "run/files.json").read_text())["rows"]
    assert recorded[path] == hashlib.sha256(content).hexdigest()
    (tmp_path / path).write_bytes(b"{}")
    # The run's own is used, whatever the file is now.
    assert main(["data", "show", "run=run", "--rows", "1"]) == 0
    assert "sat on mat" in capsys.readouterr().out
    assert main(["export", "run=run"]) == 0
    assert "assets.extra/tokenizer" in capsys.readouterr().err
    (asset,) = (tmp_path / "run/export").glob("*/assets.extra/*")
    assert asset.read_bytes() == content


@pytest.mark.parametrize("tokenizer", ["tokenizer.json"], indirect=True)
def test_parts_of_a_mixture_have_the_tokenizers_of_the_run(tokenizer, tmp_path):
    path, encode, *_ = tokenizer
    text = "name: text, files: [stories/*.txt], length: 8"
    parts = f"words: {{{text}, tokenizer: {path}}}, bytes: {{{text}}}"
    words = ["experiment=stdlib_lm", f"data={{name: mixture, parts: {{{parts}}}}}"]
    composed = compose([*words, "model.vocabulary=300"])
    data = build_data(composed.config.data)
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    write_text(run.config, composed.yaml())
    write_files(run, data)
    content = (tmp_path / path).read_bytes()
    assert (run.path / "tokenizer.words.json").read_bytes() == content
    assert [*data.tokenizer_files()] == ["tokenizer.words.json"]
    (tmp_path / path).write_bytes(b"{}")
    again = data_of_run(dataclasses.replace(composed, run=str(run.path)))
    tokens, _ = again.train.parts["words"].take(slice(0, 1))
    start = TEXTS[0][:20]
    assert tokens["tokens"][0][:4].tolist() == encode(start)[:4]


def test_a_column_of_texts_has_the_tokens_and_keeps_the_tokenizer(tokenizer, tmp_path):
    path, encode, size, _ = tokenizer
    rows = [f'"{text}",{number % 2}\n' for number, text in enumerate(TEXTS)]
    (tmp_path / "t.csv").write_text("text,kind\n" + "".join(rows), encoding="utf-8")
    column = f"{{name: text, tokenizer_file: {path}, encoding: sequence}}"
    words = ["experiment=table", "data.files=t.csv", "data.labels=kind"]
    data = build_data(compose([*words, f"data.columns.text={column}"]).config.data)
    columns = FittedColumns.from_json(json.loads(json.dumps(data.columns.to_json())))
    assert columns.columns["text"].items.size == size
    package = "tokenizers" if path == "tokenizer.json" else "sentencepiece"
    assert columns.packages == [package]
    (tmp_path / path).unlink()
    made = columns({"text": [*TEXTS[:3], None]})["text"]
    for row, text in enumerate(TEXTS[:3]):
        assert made["ids"][row][made["mask"][row]].tolist() == encode(text)
    assert not made["mask"][3].any()


def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch):
    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ConfigError) as caught:
        TokenizerFile.read(str(tmp_path / "tokenizer.json"), key="data.tokenizer")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "package-missing"
    assert diagnostic.hint == "Run pip install 'specflow-jax[tokenizers]'."
    with pytest.raises(DataError, match="cannot be read: No such file"):
        TokenizerFile.read(str(tmp_path / "absent.json"), key="data.tokenizer")


def test_a_file_that_is_no_tokenizer_is_named(tmp_path):
    pytest.importorskip("tokenizers")
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(DataError, match=r"tokenizer\.json: is no tokenizer: "):
        TokenizerFile.read(str(tmp_path / "tokenizer.json"), key="data.tokenizer")
