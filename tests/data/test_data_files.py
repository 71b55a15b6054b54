"""The files of each kind of data, and what a run refuses when they have changed."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from specflow.cli.main import main
from specflow.config.base import Target
from specflow.config.sections.data import DigitsConfig
from specflow.config.sections.data_sources import NpzConfig, TextConfig
from specflow.config.sections.mixture import MixtureConfig
from specflow.config.sections.table import TableConfig
from specflow.data import DataFiles, build_data
from specflow.data.table.table_changes import refused_changes
from specflow.diagnostics.errors import DataError, Diagnostic


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("train", "eval", "night")):
        _write(name, number)
        (tmp_path / f"{name}.csv").write_text(f"a,y\n{number},0\n2,1\n3,0\n4,1\n5,1\n")
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / f"{name}.txt").write_text(f"{name} of text " * 9)
    return tmp_path


def _write(name, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(16, 2)).astype(np.float32)
    np.savez(f"{name}.npz", x=x, labels=np.arange(16) % 2)


def _sha256(*names):
    return {name: hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in names}


def test_data_knows_the_digest_of_every_file_that_it_reads(folder):
    paths = {"train": "train.npz", "eval": "eval.npz"}
    npz = NpzConfig(**paths, eval_sets={"night": "night.npz"})
    rows, night = _sha256("train.npz", "eval.npz"), _sha256("night.npz")
    assert build_data(npz).files == DataFiles(rows, night)
    table = TableConfig(
        files=["train.csv"],
        labels=["y"],
        split={"by": "files"},
        eval_files=["eval.csv"],
        eval_sets={"night": ["night.csv"]},
    )
    rows, night = _sha256("train.csv", "eval.csv"), _sha256("night.csv")
    assert build_data(table).files == DataFiles(rows, night)
    names = ["texts/train.txt", "texts/eval.txt"]
    files = {"length": 4, "files": names, "eval_fraction": 0.5}
    text = TextConfig(**files, eval_sets={"night": "texts/night.txt"})
    rows = _sha256("texts/train.txt", "texts/eval.txt")
    night = _sha256("texts/night.txt")
    assert build_data(text).files == DataFiles(rows, night)
    below = TextConfig(root="texts", pattern="*.txt", length=4, eval_fraction=0.5)
    assert build_data(below).files == DataFiles(rows | night)
    mixture = MixtureConfig(
        parts={
            "a": {"name": "npz", **paths},
            "b": {"name": "npz", "train": "night.npz", "eval": "eval.npz"},
        }
    )
    both = _sha256("train.npz", "eval.npz", "night.npz")
    assert build_data(mixture).files == DataFiles(both)
    assert not build_data(DigitsConfig()).files


def test_a_function_of_a_user_names_the_files_that_it_reads(folder):
    def build(files):
        rows = ({"x": np.zeros((4, 2), np.float32)}, np.arange(4))
        target = Target.model_validate({"_target_": "mine.load"})
        target.bind(lambda: {"train": rows, "eval": rows, "files": files})
        return build_data(target).files

    assert build(["train.npz", "texts/*.txt"]) == DataFiles(
        _sha256("train.npz", *(f"texts/{x}.txt" for x in ("eval", "night", "train")))
    )
    assert build("eval.npz") == DataFiles(_sha256("eval.npz"))
    with pytest.raises(DataError, match=r"files: names 'tran.npz', which is no file"):
        build(["train.npz", "tran.npz"])
    with pytest.raises(DataError, match=r"files: is int\. Expected paths or globs"):
        build(3)


def test_a_file_may_be_renamed_and_a_set_may_get_other_files():
    run = DataFiles({"a": "1", "b": "2"}, {"night": "3", "dusk": "4"})
    assert not run.changes(DataFiles({"c": "1", "b": "2"}, {"noon": "9", "dusk": "4"}))
    swapped = run.changes(DataFiles({"a": "2", "b": "1"}))
    assert [each.where for each in swapped] == ["a", "b"]
    found = run.changes(DataFiles({"a": "1", "b": "9"}, {"night": "0"}))
    assert [(each.where, each.problem) for each in found] == [
        ("b", "has changed since the run was trained"),
        ("night", "has changed since the run was trained"),
    ]


def test_a_damaged_list_of_files_is_refused():
    plain = json.loads(json.dumps(DataFiles({"a": "1"}).to_json()))
    assert DataFiles.from_json(plain, where="files.json") == DataFiles({"a": "1"})
    plain["rows"]["a"] = "2"
    with pytest.raises(DataError, match=r"files\.json: is damaged"):
        DataFiles.from_json(plain, where="files.json")


def test_one_report_names_the_first_ten_of_many_files():
    diagnostics = [Diagnostic(f"{n}.txt", "has changed") for n in range(25)]
    error = refused_changes(diagnostics, "Restore them.")
    assert len(error.diagnostics) == 11
    assert error.diagnostics[0].hint == "Restore them."
    assert str(error.diagnostics[-1]) == "files: 15 more have changed."


def test_a_run_does_not_resume_on_changed_files_and_names_them(folder, capsys):
    arguments = [
        "train",
        *("data=npz", "data.train=train.npz", "data.eval=eval.npz", "model=mlp"),
        *("model.hidden=[4]", "model.outputs=2", "spec=classification"),
        "~spec.eval_metrics.top3",
        *("output.dir=run", "loop.batch_size=8", "loop.train_steps=2"),
        "output.reporters=[]",
    ]
    sets = "data.eval_sets={night: night.npz}"
    assert main([*arguments, sets]) == 0
    # Other sets, and a file of the same content.
    _write("dusk", 7)
    (folder / "eval.npz").rename("held.npz")
    (folder / "held.npz").rename("eval.npz")
    assert main([*arguments, sets[:-1] + ", dusk: dusk.npz}"]) == 0
    _write("eval", 9)
    _write("night", 9)
    capsys.readouterr()
    assert main([*arguments, sets]) == 2
    assert capsys.readouterr().err == (
        "error[table-changed] eval.npz: has changed since the run was trained. Restore "
        "the files, train in another output.dir, or resume with the new ones: "
        "output.on_change=accept.\n"
        "error[table-changed] night.npz: has changed since the run was trained.\n"
    )
    accepts = [*arguments, sets, "output.on_change=accept"]
    assert main(accepts) == 0
    printed = capsys.readouterr().err
    assert "warning[table-changed] eval.npz: has changed since the run was" in printed
    assert main([*arguments, sets]) == 0  # They are those of the run now.
