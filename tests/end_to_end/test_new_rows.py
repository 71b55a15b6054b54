"""Predictions for new rows, without labels, each with its id.

The ground truth for a row is its prediction among the labelled rows, and its id as
NumPy prints it.
"""

import csv
import json

import numpy as np
import pytest

from specflow.cli.main import main

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(40, 8, 8, 1)).astype(np.float32)
LABELS = np.arange(40, dtype=np.int32) % 10
NAMES = np.array([f"röw {row}" for row in range(40)])
RUN = (
    "experiment=digits_mlp",
    "model.hidden=[8]",
    "optimizer.schedule.warmup_steps=0",
    "output.reporters=[]",
    "loop.train_steps=2",
    "loop.eval_batch_size=4",
    "mesh=single",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run, and data files."""
    where = tmp_path_factory.mktemp("rows")
    both = {"image": IMAGES, "name": NAMES}
    np.savez(where / "all.npz", labels=LABELS, **both)
    np.savez(where / "new.npz", number=np.arange(40), **both)
    np.savez(where / "bare.npz", image=IMAGES)
    data = f"{{name:npz,train:{where}/all.npz,eval:{where}/all.npz,ids:[name]}}"
    assert main(["train", *RUN, f"data={data}", f"output.dir={where}/run"]) == 0
    return where


def predicted(folder, capsys, *arguments):
    assert main(["predict", f"run={folder}/run", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_ids_are_carried_through_and_labels_are_not_needed(folder, capsys):
    known = predicted(folder, capsys)
    assert [row["name"] for row in known] == NAMES.tolist()
    assert next(iter(known[0])) == "name"
    ids = ("data.ids=[name,number]", f"data.eval={folder}/new.npz")
    new = predicted(folder, capsys, *ids)
    assert [row.pop("number") for row in new] == list(range(40))
    assert new == known
    bare = predicted(folder, capsys, f"data.eval={folder}/bare.npz")
    nameless = [{k: v for k, v in row.items() if k != "name"} for row in known]
    assert bare == nameless


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_ids_are_columns(folder, format, tmp_path):
    out = tmp_path / f"rows.{format}"
    arguments = (
        f"data.eval={folder}/new.npz",
        "data.ids=[name,number]",
        "--keys",
        "class",
    )
    assert main(["predict", f"run={folder}/run", *arguments, "--output", str(out)]) == 0
    if format == "csv":
        with out.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    else:
        rows = pytest.importorskip("pyarrow.parquet").read_table(out).to_pylist()
    assert list(rows[0]) == ["name", "number", "class"]
    assert [row["name"] for row in rows] == NAMES.tolist()
    assert [int(row["number"]) for row in rows] == list(range(40))


def test_an_export_needs_no_labels_either(folder, tmp_path):
    arguments = (f"data.eval={folder}/bare.npz", "--platforms", "cpu")
    out = ("--output", str(tmp_path))
    assert main(["export", f"run={folder}/run", *arguments, *out]) == 0


def test_a_run_predicts_without_its_training_file(
    folder, capsys, monkeypatch, tmp_path
):
    """As on a machine with only the run and the rows to predict."""
    known = predicted(folder, capsys)
    monkeypatch.chdir(tmp_path)
    gone = "data.train=gone.npz"
    assert predicted(folder, capsys, gone) == known
    bare = predicted(folder, capsys, gone, f"data.eval={folder}/bare.npz")
    assert bare == [{k: v for k, v in row.items() if k != "name"} for row in known]
    run = f"run={folder}/run"
    assert main(["evaluate", run]) == 0
    expected = capsys.readouterr().out.split("step")[0]
    assert main(["evaluate", run, gone]) == 0
    assert capsys.readouterr().out.split("step")[0] == expected
    arguments = ("--platforms", "cpu", "--output", str(tmp_path / "export"))
    assert main(["export", run, gone, f"data.eval={folder}/bare.npz", *arguments]) == 0
    capsys.readouterr()
    for asked in (
        ["evaluate", run, gone, "--split", "train"],
        ["predict", run, gone, "--split", "train"],
        ["predict", run, gone, "--rows-of", "1"],
        ["train", run, gone],
    ):
        assert main(asked) == 2
        assert capsys.readouterr().err == (
            "error[missing-file] data.train: there is no file 'gone.npz' (override "
            "data.train=gone.npz). Relative paths start from the working directory.\n"
        )


def test_a_linen_module_needs_rows_with_labels(capsys, tmp_path):
    """Its layers are created by tracing training, which needs labels."""
    rows, labels = RNG.normal(size=(8, 3)).astype(np.float32), np.arange(8) % 2
    np.savez(tmp_path / "all.npz", x=rows, labels=labels)
    np.savez(tmp_path / "bare.npz", x=rows)
    files = f"train:{tmp_path}/all.npz,eval:{tmp_path}/all.npz"
    arguments = ["spec=regression", "~spec.inputs.x", "+spec.inputs.inputs=features.x"]
    arguments += ["model={_target_:flax.linen.Dense,features:1}", "loop.train_steps=1"]
    arguments += [
        "output.reporters=[]",
        f"data={{name:npz,{files}}}",
        "loop.batch_size=8",
    ]
    assert main(["train", *arguments, f"output.dir={tmp_path}/run"]) == 0
    run, bare = f"run={tmp_path}/run", f"data.eval={tmp_path}/bare.npz"
    gone = f"data.train={tmp_path}/gone.npz"
    assert main(["evaluate", run, gone]) == 0
    assert main(["predict", run, bare]) == 0
    capsys.readouterr()
    assert main(["predict", run, gone, bare]) == 2
    assert capsys.readouterr().err.startswith(
        "error[missing-file] data.train: the file is missing, and the rows to predict "
        "have no labels (override data.train="
    )


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (
            "evaluate",
            ("data.eval={folder}/bare.npz",),
            "error[unknown-array] data.labels: {folder}/bare.npz has no array 'labels'",
        ),
        (
            "predict",
            ("data.eval={folder}/new.npz", "data.ids=[name,nmber]"),
            "error[unknown-array] data.ids: neither {folder}/all.npz nor "
            "{folder}/new.npz has an array 'nmber'",
        ),
        (
            "predict",
            ("data.ids=[]",),
            "error[data-type] features.name: is <U6[40] ({folder}/all.npz). Expected "
            "an array of numbers, rows first. If it says which row is which, name it "
            "in data.ids.",
        ),
    ],
)
def test_missing_arrays_are_reported(folder, command, arguments, message, capsys):
    arguments = [argument.format(folder=folder) for argument in arguments]
    assert main([command, f"run={folder}/run", *arguments]) == 2
    assert capsys.readouterr().err.startswith(message.format(folder=folder))


def test_an_id_with_the_name_of_a_prediction_is_rejected(folder, tmp_path, capsys):
    np.savez(tmp_path / "new.npz", **{"image": IMAGES, "class": NAMES})
    arguments = (f"data.eval={tmp_path}/new.npz", "data.ids=[name,class]")
    assert main(["predict", f"run={folder}/run", *arguments]) == 2
    assert capsys.readouterr().err.startswith(
        "error[predict-keys] data.ids: class is a prediction too (override data.ids="
        "[name,class]). Expected names that no prediction has."
    )


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (("predict", "run={run}", "--output", "nowhere/x.csv"), "--output"),
        (("export", "run={run}", "--output", "file"), "--output"),
        (("export", "run={run}", "--output", "file/deep"), "--output"),
        (("schema", "--write", "file"), "--write"),
        (("train", *RUN, "output.dir=file/deep"), "output.dir"),
        (("train", "-m", *RUN, "seed=1,2", "output.dir=file"), "output.dir"),
        (("train", "-m", *RUN, "seed=1,2", "output.dir=file/x"), "output.dir"),
        (("train", "-m", *RUN, "hydra.sweep.dir=file/x"), "hydra.sweep.dir"),
        (("train", "-m", *RUN, "hydra.sweep.dir='file/${{name}}'"), "hydra.sweep.dir"),
    ],
)
def test_an_unwritable_output_is_an_error_before_any_work(
    folder, arguments, where, capsys, monkeypatch, tmp_path
):
    """Status 2: another start would fail again."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    assert main([argument.format(run=folder / "run") for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("error[") == 1
    assert f"] {where}: " in printed.err
    assert "step " not in printed.err
    assert printed.out == ""
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"
