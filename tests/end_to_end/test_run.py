"""The files of a run, and the commands that take one."""

import json
import math
import shutil

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_digits
from tensorboardX.proto.event_pb2 import Event


def test_a_run_writes_every_documented_file(finished, rows_of):
    run, done = finished
    assert {path.name for path in run.iterdir() if not path.name.startswith(".")} == {
        "checkpoints",
        "config.yaml",
        "curves.png",
        "eval",
        "manifest.json",
        "metrics.jsonl",
        "origins.json",
        "result.json",
        "tensorboard",
    }
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["12", "6"]
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    rows = rows_of(run)
    assert [(row["step"], row["split"]) for row in rows] == [
        (4, "train"), (6, "eval"), (8, "train"), (12, "train"), (12, "eval"),
    ]  # fmt: skip
    result = json.loads((run / "result.json").read_text())
    assert list(result) == [
        "step", "eval", "timing", "efficiency", "stopped_early", "exports",
        "rows_seen", "files", "digest",
    ]  # fmt: skip
    assert (result["stopped_early"], result["exports"]) == (None, {})
    assert (result["step"], result["rows_seen"]) == (12, 12 * 128)
    assert list(result["eval"]) == ["loss", "accuracy", "top3"]
    assert rows[-1] == {"step": 12, "split": "eval", **result["eval"]}
    assert all(seconds >= 0 for seconds in result["timing"].values())
    assert done.out.splitlines()[0].split() == ["loss", f"{result['eval']['loss']:.4g}"]
    assert done.out.splitlines()[-1] == "run"


def test_the_config_of_a_run_is_resolved_and_every_leaf_has_an_origin(finished):
    run, _ = finished
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["hidden"] == [16]
    assert config["loop"]["train_steps"] == 12
    origins = json.loads((run / "origins.json").read_text())
    assert origins["loop.train_steps"] == "override loop.train_steps=12"
    assert origins["data.name"].startswith("conf/data/digits.yaml:")

    def leaves(tree, path=""):
        if not isinstance(tree, dict) or not tree:
            return {path.lstrip(".")}
        return set().union(*(leaves(tree[key], f"{path}.{key}") for key in tree))

    assert leaves(config) <= origins.keys()


def test_the_manifest_has_the_versions_and_the_place_of_the_run(finished):
    run, _ = finished
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["argv"][1:3] == ["train", "experiment=digits_mlp"]
    assert manifest["backend"] == "cpu"
    assert manifest["mesh"] == {
        "data": 1, "fsdp": 1, "tensor": 1, "sequence": 1, "expert": 1,
    }  # fmt: skip
    assert {"jax", "flax", "optax", "numpy"} <= manifest["packages"].keys()
    assert len(manifest["fingerprint"]) == 32


def test_tensorboard_shows_the_same_numbers(finished, rows_of):
    run, _ = finished
    # The last one has the status of the session of hyperparameters alone.
    files = sorted((run / "tensorboard").iterdir())
    data, seen = b"".join(file.read_bytes() for file in files), []
    while data:  # A record: length (8), its CRC (4), the event, its CRC (4).
        length = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]
        seen += [
            (event.step, value.tag, value.simple_value)
            for value in event.summary.value
            if not value.tag.startswith("_hparams_/")
        ]
    assert seen == [
        (row["step"], f"{row['split']}/{name}", float(np.float32(value)))
        for row in rows_of(run)
        for name, value in row.items()
        if name not in ("step", "split")
    ]


def test_evaluate_reproduces_the_metrics_of_the_run_and_changes_nothing(
    specflow, here, finished
):
    run, trained = finished
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    one = specflow("evaluate", f"run={run}")
    cut = here("evaluate", f"run={run}", "loop.eval_batch_size=77")
    fsdp = here("evaluate", f"run={run}", "mesh=fsdp", "mesh.pretend_devices=8")
    assert (one.status, one.err) == (0, "")
    table = [line.split() for line in trained.out.splitlines()[:3]]
    for done in (one, cut, fsdp):
        assert done.status == 0, done.err
        assert [line.split() for line in done.out.splitlines()[:3]] == table
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_predict_gives_a_json_line_for_every_eval_row_in_order(
    specflow, here, finished
):
    """About every fifth row is held out; the order is that of the held-out rows."""
    run, _ = finished
    printed = specflow("predict", f"run={run}")
    written = here(
        "predict", f"run={run}", "--output", "out.jsonl", "loop.eval_batch_size=50"
    )
    assert (printed.status, printed.err) == (0, "")
    assert (written.status, written.out) == (0, "")
    assert written.err == "359 rows in out.jsonl\n"
    rows = [json.loads(line) for line in printed.out.splitlines()]
    text = (specflow.cwd / "out.jsonl").read_text()
    again = [json.loads(line) for line in text.splitlines()]
    assert len(rows) == len(again) == math.floor(0.2 * len(load_digits().target))
    for row, other in zip(rows, again, strict=True):
        assert sorted(row) == ["class", "probability"]
        assert row["class"] == other["class"] == int(np.argmax(row["probability"]))
        # Batches of another size are vectorized otherwise: float32 rounding.
        assert row["probability"] == pytest.approx(other["probability"], rel=1e-5)
        assert sum(row["probability"]) == pytest.approx(1, abs=1e-6)


def test_the_same_command_after_the_end_reports_the_result_again(
    here, tmp_path, finished, quick, rows_of
):
    run = shutil.copytree(finished[0], tmp_path / "run")
    done = here(
        "train",
        *quick,
        "output.dir=run",
        "loop.train_steps=12",
        "loop.eval_every=6",
        "output.checkpoint.every=6",
    )
    assert done.status == 0
    assert done.err == (
        "digits_mlp resumes from step 12: 1,210 parameters, cpu single device, run\n"
        "note: nothing was trained: this run is at step 12, and loop.train_steps is "
        "12. A larger value resumes it\n"
    )
    first, second = (
        json.loads((run / name).read_text())
        for name in ("result.1.json", "result.json")
    )
    assert (first["step"], first["eval"]) == (second["step"], second["eval"])
    assert rows_of(run) == rows_of(finished[0])


def contents(run):
    """Every file of a run except its lock, which names the last writer."""
    files = (path for path in run.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if path.name != ".lock"}


def test_another_config_is_rejected_unless_it_is_accepted(
    here, tmp_path, finished, quick, rows_of
):
    run = shutil.copytree(finished[0], tmp_path / "run")
    before = contents(run)
    other = (
        *quick,
        "output.dir=run",
        "loop.train_steps=16",
        "optimizer.lr=0.5",
        "model.dropout=0.1",
    )
    refused = here("train", *other)
    assert refused.status == 2
    assert refused.out == ""
    assert refused.err.splitlines() == [
        "error[run-changed] output.dir: 'run' holds a run of another config: 2 values "
        "would change what is trained (override output.dir=run). Choose another "
        "output.dir, or resume with the new values: output.on_change=accept.",
        "error[run-changed] model.dropout: was 0.3, is 0.1 (override "
        "model.dropout=0.1).",
        "error[run-changed] optimizer.lr: was 0.002, is 0.5 (override "
        "optimizer.lr=0.5).",
    ]
    assert contents(run) == before

    accepted = here("train", *other, "output.on_change=accept")
    assert accepted.status == 0
    assert [row["step"] for row in rows_of(run)][-1] == 16
    assert yaml.safe_load((run / "config.yaml").read_text())["optimizer"]["lr"] == 0.5
    former = yaml.safe_load((run / "config.1.yaml").read_text())
    assert former["optimizer"]["lr"] == 0.002


@pytest.mark.slow
def test_a_sweep_runs_every_combination_and_ends_in_one_table(specflow, quick):
    done = specflow(
        "train",
        "-m",
        *quick,
        "loop.train_steps=4",
        "output.dir=grid",
        "optimizer.lr=1e-4,1e-2",
        "seed=1,2",
    )
    assert done.status == 0, done.err
    results = [
        json.loads((specflow.cwd / "grid" / str(job) / "result.json").read_text())
        for job in range(4)
    ]
    assert done.out.splitlines()[-2:] == ["", "grid/trials.csv"]
    table = [line.split() for line in done.out.splitlines()[-7:-2]]
    # The best is first; here they are looked at in the order of the jobs.
    losses = [float(row[4]) for row in table[1:]]
    assert losses == sorted(losses)
    table[1:] = sorted(table[1:])
    assert table[0] == [
        "trial",
        "optimizer.lr",
        "seed",
        "step",
        "loss",
        "accuracy",
        "top3",
    ]
    settings = [(lr, seed) for lr in ("0.0001", "0.01") for seed in ("1", "2")]
    for job, (row, setting, result) in enumerate(
        zip(table[1:], settings, results, strict=True)
    ):
        assert row[:3] == [str(job), *setting]
        assert row[3] == "4"
        found = [float(value) for value in row[4:]]
        assert found == pytest.approx(list(result["eval"].values()), rel=1e-3)
    assert len({result["eval"]["loss"] for result in results}) == 4


@pytest.mark.slow
def test_a_run_on_fsdp_learns_what_a_run_on_one_device_learns(
    here, tmp_path, finished, quick, rows_of
):
    done = here(
        "train",
        *quick,
        "output.dir=run",
        "loop.train_steps=12",
        "loop.eval_every=6",
        "mesh=fsdp",
        "mesh.pretend_devices=8",
    )
    assert done.status == 0, done.err
    assert done.err.splitlines()[0] == (
        "digits_mlp starts: 1,210 parameters, cpu fsdp 8, run"
    )
    rows, one = rows_of(tmp_path / "run"), rows_of(finished[0])
    for row, other in zip(rows, one, strict=True):
        assert row.keys() == other.keys()
        # Sums of float32 in another order: see laws/test_curve_laws.py.
        assert row["loss"] == pytest.approx(other["loss"], rel=2e-6)


PACKAGE = """
import numpy as np
import optax
from flax import nnx
import specflow as sf
from specflow.metrics import Mean

def data(rows):
    x = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    return {"train": ({"x": x}, 3 * x[:, 0]), "eval": ({"x": x}, 3 * x[:, 0])}

class Net(nnx.Module):
    def __init__(self, width, *, rngs):
        self.into = nnx.Linear(1, width, rngs=rngs)
        self.out = nnx.Linear(width, 1, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.tanh(self.into(x)))[:, 0]

def metric_fn(errors):
    return {"worst": Mean.from_batch(np.abs(errors))}

def model_fn(model, features, labels, mode, params, optimizer):
    value = model(features["x"])
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode, {"value": value * params["scale"]})
    errors = value - labels
    return sf.TPUEstimatorSpec(
        mode, {}, (errors**2).mean(), optimizer, (metric_fn, [errors])
    )
"""
EXPERIMENT = """
# @package _global_
defaults:
  - override /model: null
  - override /spec: null
  - override /data: null
  - _self_
name: mine
model: {_target_: mine.Net, width: 8}
spec: {model_fn: mine.model_fn, params: {scale: 2.0}}
data: {_target_: mine.data, rows: 40}
loop: {train_steps: 20, batch_size: 8, eval_batch_size: 16}
output: {dir: out}
"""


def test_a_package_and_a_config_folder_of_a_users_own_work(specflow):
    (specflow.cwd / "mine.py").write_text(PACKAGE)
    folder = specflow.cwd / "myconf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(EXPERIMENT)
    arguments = ("experiment=mine", "--config-dir", "myconf")
    refused = specflow("train", *arguments)
    assert refused.status == 2
    assert "trust=mine" in refused.err
    done = specflow("train", *arguments, "trust=mine")
    assert done.status == 0, done.err
    result = json.loads((specflow.cwd / "out" / "result.json").read_text())
    assert result["step"] == 20
    assert list(result["eval"]) == ["loss", "worst"]
    predicted = specflow("predict", "run=out", "trust=mine")
    assert predicted.status == 0, predicted.err
    rows = [json.loads(line)["value"] for line in predicted.out.splitlines()]
    assert len(rows) == 40
