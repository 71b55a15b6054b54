"""Sweeps on other engines, as a user runs them; `make engines` runs these tests."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from specflow.sweep.trial_records import TRIALS

ROOT = Path(__file__).parents[2]
RUN = (
    "experiment=digits_mlp",
    "model.hidden=[16]",
    "optimizer.schedule.name=constant",
    "optimizer.schedule.warmup_steps=0",
    "loop.log_every=4",
    "loop.batch_size=32",
    "mesh=single",
)
SHORT = (*RUN, "loop.train_steps=8")
collect_ignore = ["fake_slurm.py", "ray_nodes.py"]
"""Programs of their own, in which no doctest is."""
LONG = (*RUN, "loop.train_steps=50_000", "output.checkpoint.every=500")
"""Overrides of a trial that a test interrupts: an engine needs seconds for a second
worker, which a trial must outlast that has just begun."""
PACK = ("hydra.launcher.pack=map", "hydra.launcher.trials_per_pack=2")


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts `python -m specflow train -m` in a folder of the module."""
    cwd = tmp_path_factory.mktemp("sweeps")
    env = dict(
        os.environ,
        JAX_PLATFORMS="cpu",
        JAX_COMPILATION_CACHE_DIR=str(cwd / "cache"),
        PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
        RAY_AUTH_MODE="disabled",
    )

    def start(*overrides, **options):
        return subprocess.Popen(
            [sys.executable, "-m", "specflow", "train", "-m", *overrides],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env={**env, **options.pop("env", {})},
            **options,
        )

    start.cwd = cwd
    return start


@pytest.fixture(scope="module")
def sweep(start):
    """Runs it to its end; returns its exit status, output and errors."""

    def run(*overrides, **options):
        process = start(*overrides, **options)
        out, err = process.communicate(timeout=240)
        assert "Traceback" not in err, err
        return process.returncode, out, err

    return run


@pytest.fixture(scope="module")
def local(start, sweep):
    """A sweep of three trials by the launcher of this machine, and its table."""
    status, out, err = sweep(*SHORT, "seed=1,2,3", "output.dir=local")
    assert status == 0, err
    return start.cwd / "local", out


def arrays(run):
    """Bytes of the arrays of a run's newest checkpoint."""
    steps = sorted(run.glob("checkpoints/*"), key=lambda path: int(path.name))
    return [file.read_bytes() for file in sorted(steps[-1].glob("*.safetensors"))]


def names(run):
    files = (path for path in run.rglob("*") if path.is_file())
    return {str(path.relative_to(run)) for path in files}


def lines(folder):
    file = folder / TRIALS
    return [json.loads(line) for line in file.read_text().splitlines()]


def facts(folder):
    """What the records say of each trial, without times."""
    ends = [one for one in lines(folder) if one["status"] != "running"]
    return [
        {key: value for key, value in one.items() if key not in ("seconds", "started")}
        for one in sorted(ends, key=lambda one: one["number"])
    ]


def equal(folder, other, count=3):
    """Asserts that two sweeps left the same trials."""
    assert facts(folder) == facts(other)
    for number in map(str, range(count)):
        assert names(folder / number) == names(other / number)
        assert arrays(folder / number) == arrays(other / number)


def wait(condition, process, seconds=120):
    """Waits until a condition holds; returns its value.

    Fails if the process ends before; None: there is none to watch.
    """
    until = time.monotonic() + seconds
    while not (value := condition()):
        if process is not None:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    return value


def saved(run):
    """The newest step of a run's checkpoints; 0 if there is none."""
    paths = run.glob("checkpoints/*")
    steps = [int(one.name) for one in paths if one.name.isdigit()]
    return max(steps, default=0)


def log_of(process):
    """File to which a process writes its output."""
    try:
        return Path(os.readlink(f"/proc/{process}/fd/1"))
    except OSError:
        return None


def workers(folder):
    """Processes of trial workers that run in a folder, each with its parent."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            cwd = os.readlink(process / "cwd")
            stat = (process / "stat").read_text()
        except OSError:
            continue
        if b"specflow.cli.trial_worker" in command and cwd == str(folder):
            # After the name, which is in parentheses, come the state and the parent.
            found[int(process.name)] = int(stat.rpartition(")")[2].split()[1])
    return found
