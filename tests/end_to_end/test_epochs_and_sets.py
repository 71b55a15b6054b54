"""`loop.epochs` and `data.eval_sets` from the command line to the files of a run."""

import json
import os

import numpy as np
import pytest
from sklearn.datasets import load_digits

from specflow.cli.main import main

TRAIN_ROWS = 1438
"""Rows of the digits that are not held out."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder of a run of two epochs with an evaluation set, made by the commands."""
    folder, home = tmp_path_factory.mktemp("sets"), os.getcwd()
    images, labels = load_digits(return_X_y=True)
    images = (images[:90] / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    np.savez(folder / "dim.npz", image=images / 2, labels=labels[:90].astype(np.int32))
    os.chdir(folder)
    try:
        status = main(
            [
                "train",
                "experiment=digits_mlp",
                "model.hidden=[16]",
                "loop.epochs=2",
                "loop.batch_size=200",
                "loop.eval_every=1 epoch",
                "loop.log_every=0.5 epochs",
                "loop.eval_at_start=true",
                "output.checkpoint={every: [1 epoch, 10m], best: {metric: dim/loss}}",
                "data.eval_sets={dim: dim.npz}",
                "output.reporters=[]",
                "output.dir=run",
            ]
        )
    finally:
        os.chdir(home)
    assert status == 0
    return folder / "run"


def rows_in(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_of_epochs_ends_where_they_do(run):
    result = json.loads((run / "result.json").read_text())
    manifest = json.loads((run / "manifest.json").read_text())
    assert result["step"] == manifest["train_steps"] == -(-2 * TRAIN_ROWS // 200) == 15
    rows = rows_in(run / "metrics.jsonl")
    trained = {row["step"]: row["epoch"] for row in rows if row["split"] == "train"}
    # The first step that completes each half of an epoch: 3.6, 7.2, 10.8, 14.4 steps.
    assert trained == {step: step * 200 / TRAIN_ROWS for step in (4, 8, 11, 15)}
    saved = {int(path.name) for path in (run / "checkpoints").iterdir()}
    assert {8, 15} <= saved <= {0, 8, 15}


def test_sets_are_reported_apart(run):
    result = json.loads((run / "result.json").read_text())
    rows = rows_in(run / "metrics.jsonl")
    evaluated = [(row["step"], row["split"]) for row in rows if row["split"] != "train"]
    assert evaluated == [
        (step, split) for step in (0, 8, 15) for split in ("eval_dim", "eval")
    ]
    history = rows_in(run / "eval_dim/metrics.jsonl")
    of_set = [row for row in rows if row["split"] == "eval_dim"]
    assert [row["loss"] for row in history] == [row["loss"] for row in of_set]
    assert result["eval"]["dim/loss"] == of_set[-1]["loss"]
    assert result["best"]["metric"] == "dim/loss"
    assert result["best"]["value"] == min(row["loss"] for row in of_set)


def test_evaluate_has_all_sets_or_one(run, capsys):
    result = json.loads((run / "result.json").read_text())["eval"]
    assert main(["evaluate", f"run={run}", "--format", "json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    for name, value in result.items():
        assert metrics[name] == pytest.approx(value, rel=1e-6), name
    assert main(["evaluate", f"run={run}", "--split", "dim"]) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.split() == ["loss", f"{result['dim/loss']:.4g}"]
    assert main(["runs", str(run.parent), "--format", "json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["runs"]
    assert (listed["steps"], listed["metric"]) == (15, "dim/loss")
    assert listed["best"] == pytest.approx(min(result["dim/loss"], listed["best"]))


def test_show_prints_the_steps_where_the_rows_are_known(capsys):
    assert main(["show", "experiment=digits", "loop.epochs=3"]) == 0
    assert capsys.readouterr().err == (
        "note: loop.epochs=3 ends at step 34: 1,438 rows an epoch, 128 a step\n"
    )
    assert main(["show", "experiment=stdlib_lm", "loop.epochs=0.5"]) == 0
    assert capsys.readouterr().err == (
        "note: loop.epochs=0.5: its steps are known once the data is read, as check "
        "and train do\n"
    )


def test_check_reports_what_comes_after_the_last_epoch(capsys):
    lines = ["experiment=digits_mlp", "loop.epochs=1", "loop.eval_every=2 epochs"]
    assert main(["check", *lines]) == 0
    assert "loop.eval_every: is 2 epochs, and training ends at step 12" in (
        capsys.readouterr().err
    )
    assert main(["check", *lines, "loop.profile.start=12"]) == 2
    assert "loop.profile.start: got 12 (override loop.profile.start=12). Expected" in (
        capsys.readouterr().err
    )


def test_a_metric_of_a_set_that_does_not_exist_is_an_error_of_the_config(capsys):
    stops = (
        "loop.early_stopping={name: no_decrease, metric: dm/loss, patience_steps: 9}"
    )
    lines = ["experiment=digits_mlp", "loop.eval_every=5", stops]
    assert main(["show", *lines, "data.eval_sets={dim: dim.npz}"]) == 2
    assert "after a slash that of a set of data.eval_sets (dim)." in (
        capsys.readouterr().err
    )
