"""Real processes: several compute the same as one, and process 0 writes."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from specflow.cli import train_commands
from specflow.cli.main import main
from specflow.compose import compose
from specflow.config.sections.mesh import INDEX
from specflow.data import build_data
from specflow.distributed import failure
from specflow.distributed.launch import launch
from specflow.output import Checkpointer
from specflow.serving import load_export
from tests.preloaded import Preloaded

ROOT = Path(__file__).parents[2]
WORDS = (
    "experiment=digits_mlp",
    "model.hidden=[32]",
    "optimizer.schedule.warmup_steps=2",
    "loop.train_steps=6",
    "loop.eval_every=3",
    "loop.batch_size=32",
    # 359 rows: neither batches nor processes divide them.
    "loop.eval_batch_size=64",
    "output.reporters=[]",
    "output.checkpoint.every=3",
)
"""The same for one process and for several: four devices in all."""
LONGER = (
    *WORDS,
    "loop.train_steps=8",
    "mesh.axes.data=4",
    "output.on_change=accept",
)
"""Overrides with which one process resumes any of the runs."""


def run(*words, index=None, program=("-m", "specflow"), **more):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if index is not None:
        environment[INDEX] = str(index)
    return Preloaded(
        [sys.executable, *program, *map(str, words)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def done(process):
    out, printed = process.communicate(timeout=240)
    assert process.returncode == 0, printed
    return out, printed


def launched(count, *words):
    return done(run("launch", "--processes", count, "--", *words))


def not_launched(coordinator, each, program=("-m", "specflow"), devices=2):
    """Runs processes with a given coordinator: exit statuses and their output."""
    words = (
        *WORDS,
        f"mesh.processes={{coordinator:'{coordinator}',count:{len(each)}}}",
        f"mesh.pretend_devices={devices}",
    )
    started = [
        run("train", *words, *own, program=program, index=index)
        for index, own in enumerate(each)
    ]
    printed = [process.communicate(timeout=240)[1] for process in started]
    return [process.returncode for process in started], printed


def evaluations(folder):
    rows = map(json.loads, (folder / "eval" / "metrics.jsonl").read_text().splitlines())
    return {row["step"]: row for row in rows}


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A run of one process, over four devices."""
    folder = tmp_path_factory.mktemp("one") / "run"
    assert main(["train", *WORDS, "mesh.axes.data=4", f"output.dir={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run of two processes with two devices each, and the output of process 0."""
    folder = tmp_path_factory.mktemp("two") / "run"
    words = (*WORDS, "mesh.pretend_devices=4", f"output.dir={folder}")
    return folder, launched(2, "train", *words, "--format", "json")


@pytest.fixture(scope="module")
def four(tmp_path_factory, new_coordinator):
    """Four processes: parameters are sharded over two axes, the batch over one."""
    folder = tmp_path_factory.mktemp("four") / "run"
    own = ("mesh=fsdp_tensor", "mesh.axes.tensor=2", f"output.dir={folder}")
    statuses, printed = not_launched(new_coordinator(), [own] * 4, devices=4)
    assert statuses == [0] * 4, printed
    return folder, printed


@pytest.mark.parametrize("processes", ["two", "four"])
def test_training_equals_one_process(one, processes, request):
    several, _ = request.getfixturevalue(processes)
    expected, rows = evaluations(one), evaluations(several)
    assert list(rows) == list(expected) == [3, 6]
    for step, row in expected.items():
        # Six float32 steps: sums over devices are added in another order, 1e-7 each.
        assert rows[step]["loss"] == pytest.approx(row["loss"], rel=2e-6)


def test_only_process_0_writes_and_prints(two):
    folder, (out, printed) = two
    document = json.loads(out)
    assert document["status"] == 0
    assert document["result"]["directory"] == str(folder)
    assert printed.count("digits_mlp starts") == 1
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["processes"] == 2
    assert manifest["mesh"]["data"] == 4
    rows = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [3, 6]


@pytest.fixture(scope="module")
def rows(two, tmp_path_factory):
    """Predictions of the first run, by two processes."""
    folder, _ = two
    file = tmp_path_factory.mktemp("rows") / "rows.csv"
    launched(2, "predict", f"run={folder}", "--output", file)
    with file.open() as lines:
        return list(csv.DictReader(lines))


def test_predictions_keep_the_order_of_the_rows(two, rows, tmp_path):
    folder, _ = two
    file = tmp_path / "one.csv"
    words = [f"run={folder}", "mesh.pretend_devices=null", "mesh.axes.data=1"]
    assert main(["predict", *words, "--output", str(file)]) == 0
    with file.open() as lines:
        alone = list(csv.DictReader(lines))
    assert len(rows) == len(alone) == 359
    assert [row["class"] for row in rows] == [row["class"] for row in alone]
    several, expected = (
        np.array([json.loads(row["probability"]) for row in each])
        for each in (rows, alone)
    )
    # One pass in float32, matrix products cut otherwise.
    np.testing.assert_allclose(several, expected, rtol=1e-5)


def test_evaluation_of_ragged_rows_is_exact(two, rows):
    """Accuracy, counted here; padding would change it."""
    labels = build_data(compose(WORDS).config.data).eval.take(slice(None))[1]
    right = sum(
        int(row["class"]) == label for row, label in zip(rows, labels, strict=True)
    )
    assert evaluations(two[0])[6]["accuracy"] == right / 359


def test_one_process_evaluates_the_checkpoint_of_four(four, capsys):
    folder, _ = four
    words = [f"run={folder}", "mesh=single", "mesh.pretend_devices=null"]
    assert main(["evaluate", *words, "--format", "json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    saved = evaluations(folder)[6]
    assert metrics["accuracy"] == saved["accuracy"]
    assert metrics["loss"] == pytest.approx(saved["loss"], rel=1e-6)


def test_one_process_exports_the_parameters_that_four_trained(four, tmp_path):
    folder, _ = four
    words = [f"run={folder}", "mesh=single", "mesh.pretend_devices=null"]
    assert main(["export", *words, "--output", str(tmp_path)]) == 0
    (export,) = tmp_path.iterdir()
    weights = load_export(export).weights
    with Checkpointer(folder / "checkpoints") as checkpoints:
        saved = checkpoints.arrays()
    assert {"hidden.0.kernel", "head.kernel"} < weights.keys()
    for name, array in weights.items():
        key = f"params/{name}" if f"params/{name}" in saved else f"state/{name}"
        np.testing.assert_array_equal(array, saved[key], err_msg=name)


def test_one_process_resumes_the_run_of_two_and_two_that_of_one(one, two, tmp_path):
    curves = []
    for number, folder in enumerate((one, two[0], one)):
        copy = shutil.copytree(folder, tmp_path / str(number))
        words = ("train", *LONGER, f"output.dir={copy}")
        if number == 2:
            launched(2, *words, "mesh.pretend_devices=4")
        else:
            assert main(list(words)) == 0
        curves.append(evaluations(copy)[8]["loss"])
    assert curves[1:] == pytest.approx([curves[0]] * 2, rel=2e-6)


def test_each_process_writes_its_shards_and_a_damaged_one_is_found_by_all(
    four, tmp_path
):
    folder = shutil.copytree(four[0], tmp_path / "run")
    saved = folder / "checkpoints" / "6"
    arrays = json.loads((saved / "checkpoint.json").read_text())["arrays"]
    assert max(len(array["pieces"]) for array in arrays.values()) == 4
    shards = saved / "arrays-00003-of-00004.safetensors"
    content = bytearray(shards.read_bytes())
    content[-1] ^= 1
    shards.write_bytes(content)
    words = (*LONGER, "mesh.pretend_devices=4", f"output.dir={folder}")
    _, printed = launched(2, "train", *words)
    assert printed.count("checkpoint of step 6 is damaged") == 1
    assert evaluations(folder)[8]["loss"] > 0


def test_a_differing_config_ends_every_process_with_one_report(coordinator, tmp_path):
    out = f"output.dir={tmp_path / 'run'}"
    statuses, (first, second) = not_launched(
        coordinator, [(out, "seed=6"), (out, "seed=7")]
    )
    assert statuses == [2, 2]
    assert first == (
        "error[processes-differ] seed: is 7 in process 1, and 6 in process 0 "
        "(override seed=6). Expected the same config in every process.\n"
    )
    assert not second
    assert not (tmp_path / "run").exists()


def test_a_config_error_in_one_process_ends_the_others_before_the_rendezvous(
    coordinator, tmp_path
):
    own = (f"output.dir={tmp_path / 'run'}", "model.hiden=3")
    statuses, (first, second) = not_launched(coordinator, [own[:1], own])
    assert statuses == [2, 2]
    assert second.startswith("error[unknown-key] model.hiden: no such field")
    assert first.startswith(
        "error[process-lost] processes: process 1 failed: model.hiden: no such field"
    )


def test_differing_device_counts_are_reported(coordinator, tmp_path):
    statuses, (first, second) = not_launched(
        coordinator,
        [
            (f"output.dir={tmp_path / 'run'}", f"mesh.pretend_devices={devices}")
            for devices in (2, 4)
        ],
    )
    assert statuses == [2, 2]
    assert first == (
        "error[processes-differ] mesh.pretend_devices: is 4 in process 1, and 2 in "
        "process 0 (override mesh.pretend_devices=2). Expected the same config in "
        "every process.\n"
    )
    assert not second


FAILING = """
import sys

import jax

from specflow.cli import main as cli
from specflow.output.report.progress import Progress


def fail(*_):
    if jax.process_index() == 1:
        raise ZeroDivisionError("one is bad")

Progress.update = fail
sys.exit(cli.main())
"""


def test_a_failed_process_ends_all_and_is_named(coordinator, tmp_path):
    statuses, (first, second) = not_launched(
        coordinator,
        [(f"output.dir={tmp_path / name}",) for name in "01"],
        program=("-c", FAILING),
    )
    assert statuses == [2, 2]
    assert first.splitlines()[-1] == (
        "error[process-lost] processes: process 1 failed: ZeroDivisionError: one is "
        "bad. Look at its own output; a restart resumes from the newest checkpoint."
    )
    assert second.splitlines()[-1] == (
        "error[user-code] __main__.fail: ZeroDivisionError: one is bad."
    )
    # The directory is that of process 0, as where a sweep has the time in its name.
    assert [path.name for path in tmp_path.iterdir()] == ["0"]


METRIC_FAILS = """
import sys
import jax
from specflow.cli import main as cli
from specflow.metrics import MetricTable

def fail(*_):
    if jax.process_index() == 1:
        raise ZeroDivisionError("one is bad")

MetricTable.update = fail
sys.exit(cli.main())
"""


def test_a_metric_that_fails_in_one_process_loses_no_state(coordinator, tmp_path):
    """All processes finish the evaluation, then save together."""
    folder = tmp_path / "run"
    own = (f"output.dir={folder}", "loop.eval_every=0", "output.checkpoint.every=0")
    statuses, (first, second) = not_launched(
        coordinator, [own, own], program=("-c", METRIC_FAILS)
    )
    assert statuses == [2, 2]
    assert first.splitlines()[-2:] == [
        "error[user-code] process 1: ZeroDivisionError: one is bad.",
        "note: The state of step 6 is saved: training resumes there.",
    ]
    assert "ZeroDivisionError: one is bad" in second
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["6"]


KILLED = """
import os
import signal
import sys

import jax

from specflow.cli import main as cli
from specflow.output.report.progress import Progress


def die(*_):
    if jax.process_index() == int(os.environ["VICTIM"]):
        os.kill(os.getpid(), signal.SIGKILL)

Progress.update = die
sys.exit(cli.main())
"""


@pytest.mark.parametrize("victim", [0, pytest.param(1, marks=pytest.mark.thorough)])
def test_a_killed_process_is_named_by_the_other(
    victim, coordinator, tmp_path, monkeypatch
):
    monkeypatch.setenv("VICTIM", str(victim))
    out = f"output.dir={tmp_path / 'run'}"
    statuses, printed = not_launched(
        coordinator, [(out,), (out,)], program=("-c", KILLED)
    )
    assert statuses[victim] == -signal.SIGKILL
    # 75 is EX_TEMPFAIL of sysexits.h, which makes a cluster restart the job.
    assert statuses[1 - victim] == 75
    assert printed[1 - victim].splitlines()[-1] == (
        f"error[process-lost] processes: process {victim} was lost: its connection "
        "ended without a report. The last step seen here is 3. Find out what ended it "
        "(often: the system, out of memory); a restart resumes from the newest "
        "checkpoint."
    )
    assert "stack trace" not in printed[1 - victim]


KILLED_AT_THE_END = """
import os
import signal
import sys

import jax

from specflow.cli import main as cli

status = cli.main()
if jax.process_index() == int(os.environ["VICTIM"]):
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(status)
"""


@pytest.mark.parametrize("victim", [pytest.param(0, marks=pytest.mark.thorough), 1])
def test_a_process_killed_after_training_is_named_by_the_other(
    victim, coordinator, tmp_path, monkeypatch
):
    """At the exit JAX would wait for it, and abort with a C++ stack trace."""
    monkeypatch.setenv("VICTIM", str(victim))
    out = f"output.dir={tmp_path / 'run'}"
    program = ("-c", KILLED_AT_THE_END)
    statuses, printed = not_launched(coordinator, [(out,), (out,)], program=program)
    assert statuses[victim] == -signal.SIGKILL
    assert statuses[1 - victim] == 75
    assert (
        printed[1 - victim]
        .splitlines()[-1]
        .startswith(
            f"error[process-lost] processes: process {victim} was lost: its connection "
            "ended without a report. The last step seen here is 6."
        )
    )
    assert "stack trace" not in printed[1 - victim]


STEP_FAILS = """
import os
import sys
from pathlib import Path

import jax
from jax.errors import JaxRuntimeError

from specflow.cli import main as cli
from specflow.executor import Program

# JAX raises such errors in its own folder.
file = os.path.join(os.path.dirname(jax.__file__), "planted.py")
source = "def fail(): raise JaxRuntimeError('UNAVAILABLE: planted')"
exec(compile(source, file, "exec"))
real, calls = Program.train, []


def train(*arguments):
    result = real(*arguments)
    calls.append(None)
    failed = Path(os.environ["FAILED"])
    if jax.process_index() == 1 and len(calls) == 2 and not failed.exists():
        failed.touch()
        fail()
    return result

Program.train = train
sys.exit(cli.main())
"""


def arrays_of(folder, step):
    """The digest of every piece of a checkpoint."""
    file = folder / "checkpoints" / str(step) / "checkpoint.json"
    return json.loads(file.read_text())["arrays"]


def test_a_transient_device_failure_in_one_process_restarts_all(
    two, tmp_path, monkeypatch, capfd
):
    """The final state equals that of an undisturbed run."""
    undisturbed, _ = two
    folder = tmp_path / "run"
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("FAILED", str(tmp_path / "failed"))
    words = ("train", *WORDS, "mesh.pretend_devices=4", f"output.dir={folder}")
    program = ("-c", STEP_FAILS)
    assert launch(words, processes=2, restarts=1, program=program) == 0
    printed = [
        text
        for text in capfd.readouterr().err.splitlines()
        if text and not text.startswith("step ")
    ]
    assert printed[1:4] == [
        "error[process-lost] processes: process 1 failed: JaxRuntimeError: "
        "UNAVAILABLE: planted. Look at its own output; a restart resumes from the "
        "newest checkpoint.",
        "[1] error[device-failed] device: UNAVAILABLE: planted. Run the same command "
        "again; if it fails again, on other devices.",
        "restart 1 of 1, after status 75",
    ]
    # The newest checkpoint is intact: a damaged one would be skipped.
    assert printed[4].startswith("digits_mlp resumes from step 3")
    assert arrays_of(folder, 6) == arrays_of(undisturbed, 6)


def test_a_job_that_fails_in_one_process_ends_its_sweep(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    notified = []

    def fail(_):
        raise OSError("one is bad")

    monkeypatch.setattr(train_commands, "_train", fail)
    monkeypatch.setattr(failure, "is_listening", lambda: True)
    monkeypatch.setattr(failure, "notify_and_exit", lambda *args: notified.append(args))
    monkeypatch.setenv("SPECFLOW_PROCESS_INDEX", "0")  # Its trials run here.
    assert main(["train", "-m", "experiment=digits", "seed=1"]) == 1
    ((error, status),) = notified
    assert (str(error), status) == ("one is bad", 2)


def slurm_answers():
    """Whether a cluster is running: its commands may be installed without one."""
    ping = ["scontrol", "ping"]
    return (
        shutil.which(ping[0])
        and not subprocess.run(ping, capture_output=True, timeout=60).returncode
    )


@pytest.mark.skipif(not slurm_answers(), reason="needs Slurm")
def test_tasks_of_slurm_equal_one_process(one, tmp_path):
    folder = tmp_path / "run"
    words = ["train", *WORDS, "mesh.pretend_devices=4", f"output.dir={folder}"]
    # All on one node: others need not see the folder.
    srun = ["srun", "--nodes=1", "--ntasks=2", sys.executable, "-m", "specflow"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([*srun, *words], env=environment, check=True, timeout=240)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["processes"] == 2
    loss = evaluations(one)[6]["loss"]
    assert evaluations(folder)[6]["loss"] == pytest.approx(loss, rel=2e-6)
