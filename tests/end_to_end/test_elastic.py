"""A run resumes, is evaluated and exported on other devices than it was trained on."""

import csv
import json

import numpy as np
import pytest

from specflow.cli.main import main
from specflow.output import Checkpointer
from specflow.serving import load_export
from tests.end_to_end.conftest import QUICK

SHORT = (
    *QUICK,
    "model.hidden=[32]",
    "output.reporters=[]",
    "loop.batch_size=32",
    "loop.train_steps=8",
)
EIGHT = ("mesh=fsdp_tensor", "mesh.axes.tensor=2", "mesh.axes.fsdp=4")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run whose parameters are sharded over eight devices."""
    folder = tmp_path_factory.mktemp("elastic") / "run"
    words = (*SHORT, *EIGHT, "output.checkpoint.every=4", f"output.dir={folder}")
    assert main(["train", *words]) == 0
    pieces = json.loads((folder / "checkpoints/8/checkpoint.json").read_text())
    assert max(len(array["pieces"]) for array in pieces["arrays"].values()) == 8
    return folder


def rows_of(file):
    with file.open() as lines:
        return [json.loads(row["probability"]) for row in csv.DictReader(lines)]


def test_one_device_evaluates_and_exports_what_eight_trained(trained, here, tmp_path):
    one = (f"run={trained}", "mesh=single")
    metrics = {}
    for mesh in ((f"run={trained}",), one):
        done = here("evaluate", *mesh, "--format", "json")
        assert done.status == 0
        metrics[mesh] = json.loads(done.out)["metrics"]
    several, alone = metrics.values()
    assert alone["accuracy"] == several["accuracy"]
    # One pass in float32: sums in another order.
    assert alone["loss"] == pytest.approx(several["loss"], rel=1e-6)
    assert here("export", *one, "--output", str(tmp_path / "exports")).status == 0
    (directory,) = (tmp_path / "exports").iterdir()
    export = load_export(directory)
    with Checkpointer(trained / "checkpoints") as checkpoints:
        saved = checkpoints.arrays()
    for name in ("hidden.0.kernel", "head.bias"):
        np.testing.assert_array_equal(export.weights[name], saved[f"params/{name}"])


def test_a_machine_with_one_cpu_predicts_what_eight_devices_do(
    trained, specflow, here, tmp_path
):
    files = [str(tmp_path / name) for name in ("eight.csv", "one.csv")]
    assert here("predict", f"run={trained}", "--output", files[0]).status == 0
    one = (f"run={trained}", "mesh=single", "--output", files[1])
    assert specflow("predict", *one, env={"XLA_FLAGS": ""}).status == 0
    eight, alone = (rows_of(tmp_path / name) for name in ("eight.csv", "one.csv"))
    np.testing.assert_allclose(alone, eight, rtol=1e-5)


def test_another_mesh_needs_no_consent_and_another_batch_size_does(here, tmp_path):
    words = (*SHORT, f"output.dir={tmp_path / 'run'}")
    assert here("train", *words, *EIGHT, "loop.train_steps=4").status == 0
    done = here("train", *words, "loop.batch_size=48")
    assert (done.status, done.errors) == (2, [
        f"error[run-changed] output.dir: '{tmp_path / 'run'}' holds a run of another "
        "config: one value would change what is trained (override output.dir="
        f"{tmp_path / 'run'}). Choose another output.dir, or resume with the new "
        "values: output.on_change=accept.",
        "error[run-changed] loop.batch_size: was 32, is 48 (override "
        "loop.batch_size=48).",
    ])  # fmt: skip
    accepted = "output.on_change=accept"
    done = here("train", *words, "loop.batch_size=48", "loop.train_steps=6", accepted)
    assert done.status == 0
    note = (
        "note: {} steps saw {} rows, not of loop.batch_size=48 each; the data resumes "
        "after them. loop.train_steps, schedules and triggers count steps"
    )
    assert done.errors[1] == note.format(4, 4 * 32)
    done = here("train", *words, "loop.batch_size=48", accepted)
    assert done.errors[1] == note.format(6, 4 * 32 + 2 * 48)
    assert ": 2,410 parameters, cpu single device," in done.errors[0]
    with Checkpointer(tmp_path / "run/checkpoints") as checkpoints:
        assert checkpoints.arrays()["opt_state/[0]/count"] == 8
    done = here("checkpoints", f"run={tmp_path / 'run'}", "--format", "json")
    rows = {each["step"]: each["rows"] for each in json.loads(done.out)["checkpoints"]}
    assert rows == {4: 128, 6: 224, 8: 320}
    reported = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in reported][-1] == 8


def test_a_snapshot_of_parameters_is_a_source_of_a_warm_start(here, tmp_path):
    base = ("output.checkpoint.params=bfloat16", "output.dir=base")
    assert here("train", *SHORT, *base, "loop.train_steps=4").status == 0
    snapshot = tmp_path / "base/params/4"
    assert snapshot.is_dir()
    warm = f"warm_start={{path: {snapshot}, exclude: ['head.**']}}"
    done = here("check", *SHORT, warm, "--format", "json")
    assert done.status == 0
    start = json.loads(done.out)["warm_start"]
    assert start["path"] == str(snapshot)
    assert [list(row.values()) for row in start["arrays"]] == [
        ["head.bias", None, "f32[10]", "initialized", "excluded by head.**"],
        ["head.kernel", None, "f32[32,10]", "initialized", "excluded by head.**"],
        ["hidden.0.bias", "hidden.0.bias", "f32[32]", "taken", None],
        ["hidden.0.kernel", "hidden.0.kernel", "f32[64,32]", "taken", None],
    ]
