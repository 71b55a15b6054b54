"""Sweeps as a user runs them: a process that supervises, and one that trains."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from specflow.sweep.trial_records import TRIALS, TrialStatus, read_records
from tests.end_to_end.conftest import QUICK, ROOT

pytestmark = pytest.mark.slow

RUN = (*QUICK[:-1], "loop.train_steps=8", "loop.batch_size=32")
SWEEP = ("train", "-m", *RUN, "seed=1,2,3")


def arrays(run):
    """Bytes of the arrays of a run's newest checkpoint."""
    steps = sorted(run.glob("checkpoints/*"), key=lambda path: int(path.name))
    return [file.read_bytes() for file in sorted(steps[-1].glob("*.safetensors"))]


def evaluation(run):
    return json.loads((run / "result.json").read_text())["eval"]


def names(run):
    files = (path for path in run.rglob("*") if path.is_file())
    return {str(path.relative_to(run)) for path in files}


def test_a_trial_leaves_what_a_run_of_its_own_leaves(specflow, tmp_path):
    done = specflow(*SWEEP, "output.dir=sweep")
    assert done.status == 0
    assert done.err.count(": complete, step 8, loss ") == 3
    solo = specflow("train", *RUN, "seed=2", "output.dir=solo", "output.reporters=[]")
    assert solo.status == 0
    trial = tmp_path / "sweep/1"
    assert names(trial) == names(tmp_path / "solo")
    assert arrays(trial) == arrays(tmp_path / "solo")
    assert evaluation(trial) == evaluation(tmp_path / "solo")
    again = specflow("train", "run=sweep/1", "output.dir=again")
    assert "same program" in again.err
    assert arrays(tmp_path / "again") == arrays(trial)
    assert "starts: " in (tmp_path / "sweep/logs/1.log").read_text()


LEAVING = """
import logging, os, random
import optax

def optimizer():
    if "SEEN" in os.environ or logging.root.level != logging.WARNING:
        raise RuntimeError("a trial before left something")
    os.environ["SEEN"] = "1"
    logging.root.setLevel(logging.ERROR)
    random.seed(7)
    return optax.sgd(0.1)
"""


def test_trials_do_not_depend_on_their_order(specflow, tmp_path):
    (tmp_path / "own_fn.py").write_text(LEAVING)
    own = ("trust=own_fn", "optimizer={_target_: own_fn.optimizer}")
    words = ("train", "-m", *QUICK[:2], *QUICK[4:-1], "loop.train_steps=4", *own)
    done = specflow(*words, "seed=1,2", "output.dir=there")
    assert done.status == 0, done.err
    assert specflow(*words, "seed=2,1", "output.dir=back").status == 0
    for first, second in ((0, 1), (1, 0)):
        there, back = tmp_path / f"there/{first}", tmp_path / f"back/{second}"
        assert arrays(there) == arrays(back)
        assert evaluation(there) == evaluation(back)


def test_curves_are_drawn_where_the_user_asks_for_them(specflow, tmp_path):
    words = ("train", "-m", *RUN, "seed=1")
    specflow(*words, "output.dir=default")
    specflow(*words, "output.dir=asked", "output.reporters=[plots]")
    assert not (tmp_path / "default/0/curves.png").exists()
    assert not (tmp_path / "default/0/tensorboard").exists()
    assert (tmp_path / "asked/0/curves.png").exists()


def test_a_trial_whose_loss_is_not_finite_ends_alone(specflow, tmp_path):
    words = ("train", "-m", *RUN, "optimizer.lr=1e-3,1e38,1e-2", "output.dir=sweep")
    done = specflow(*words)
    assert done.status == 2
    records = read_records(tmp_path / "sweep")
    assert [one.status for one in records.values()] == [
        "complete",
        "failed",
        "complete",
    ]
    assert records[1].failure == "nan"
    assert (
        "error[sweep-failed] sweep: 1 of 3 trials failed: trial 1 (nan). specflow "
        "sweep show sweep lists the reasons; the same command with output.dir=sweep "
        "starts failed trials again."
    ) in done.err


def in_shell(specflow, line):
    """Runs a line of bash in which `specflow` is this program."""
    code = f'specflow() {{ "{sys.executable}" -m specflow "$@"; }}\n{line}'
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        capture_output=True,
        text=True,
        cwd=specflow.cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_a_shell_passes_the_best_run_of_a_sweep_to_other_commands(specflow, tmp_path):
    # The characters of such names have a meaning in overrides.
    folder = "runs, ä/lr=(1)"
    words = ("train", "-m", *RUN, "optimizer.lr=1e-3,1e38,1e-2", "hydra/launcher=basic")
    assert specflow(*words, f"output.dir='{folder}'").status == 2
    losses = {
        number: evaluation(tmp_path / folder / str(number))["loss"] for number in (0, 2)
    }
    number = min(losses, key=losses.get)
    line = f'specflow evaluate run="$(specflow sweep best "{folder}")" --format json'
    done = in_shell(specflow, line)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["loss"] == losses[number]
    assert f"trial {number}: loss " in done.stderr
    shown = in_shell(specflow, f'specflow sweep show "{folder}" | sort')
    assert [line.split()[0] for line in shown.stdout.splitlines()[:3]] == list("012")
    assert "failed" in shown.stdout.splitlines()[1]
    assert "nan" in shown.stdout.splitlines()[1]


def _started(folder, process, count):
    """Waits until that many records are written."""
    while process.poll() is None:
        file = folder / TRIALS
        if file.exists() and file.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.005)


def _lines(folder):
    return [json.loads(line) for line in (folder / TRIALS).read_text().splitlines()]


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in (1, 2))]
)
def test_a_killed_sweep_resumes_without_a_lost_or_repeated_trial(
    specflow, tmp_path, seed
):
    folder, moments = tmp_path / "sweep", random.Random(seed)
    words = (*SWEEP, "output.dir=sweep")
    for count in (1, 3):
        process = specflow.start(*words)
        _started(folder, process, count)
        time.sleep(moments.random() * 0.5)
        process.kill()
        process.communicate()
    done = specflow(*words)
    assert done.status == 0, done.err
    ends = [one["number"] for one in _lines(folder) if one["status"] == "complete"]
    assert sorted(ends) == [0, 1, 2]
    assert specflow(*SWEEP, "output.dir=whole").status == 0
    for number in range(3):
        whole = tmp_path / f"whole/{number}"
        assert arrays(folder / str(number)) == arrays(whole)
        assert evaluation(folder / str(number)) == evaluation(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_running_trial_and_the_same_command_resumes(
    specflow, tmp_path, number
):
    folder = tmp_path / "sweep"
    words = ("train", "-m", *RUN[:-2], "loop.train_steps=100_000", "seed=1,2")
    process = specflow.start(*words, "output.dir=sweep", start_new_session=True)
    _started(folder, process, 1)
    rows = folder / "0/metrics.jsonl"
    while process.poll() is None and not (rows.exists() and rows.stat().st_size):
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert (
        "stopped: 0 of 2 trials are complete; the same command with output.dir=sweep "
        "resumes\n" in errors
    )
    step = max(int(path.name) for path in (folder / "0/checkpoints").iterdir())
    assert step > 0
    assert read_records(folder)[0].status is TrialStatus.RUNNING


def _children(parent):
    stats = [file.read_text() for file in Path("/proc").glob("[0-9]*/stat")]
    # After the name, which is in parentheses, come the state and the parent.
    parents = {
        int(text.split()[0]): text.rpartition(")")[2].split()[1] for text in stats
    }
    return [child for child, of in parents.items() if int(of) == parent]


def _killed_worker(specflow, folder, words):
    """Kills the first worker when its trial starts; returns the errors of the sweep."""
    process = specflow.start(*words, f"output.dir={folder}")
    _started(folder, process, 1)
    os.kill(min(_children(process.pid)), signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def test_a_killed_worker_costs_an_attempt_of_its_running_trial(specflow, tmp_path):
    folder = tmp_path / "sweep"
    status, errors = _killed_worker(specflow, folder, SWEEP)
    assert status == 0, errors
    assert (
        "trial 0 starts again (died): its process ended with signal 9, as when memory "
        "runs out\n" in errors
    )
    records = read_records(folder)
    assert {one.status for one in records.values()} == {"complete"}
    assert [one.attempts for one in records.values()] == [2, 1, 1]


@pytest.mark.thorough
def test_without_retries_it_costs_the_trial_until_the_next_call(specflow, tmp_path):
    folder = tmp_path / "sweep"
    words = ("train", "-m", *RUN, "seed=1,2", "hydra.launcher.retries=0")
    status, _ = _killed_worker(specflow, folder, words)
    assert status == 75
    records = read_records(folder)
    assert [one.status for one in records.values()] == ["failed", "complete"]
    assert records[0].failure == "died"
    assert specflow(*words, "output.dir=sweep").status == 0
    assert {one.status for one in read_records(folder).values()} == {"complete"}


def test_other_launchers_run_the_same_trials(specflow, tmp_path):
    assert specflow(*SWEEP, "hydra/launcher=basic", "output.dir=basic").status == 0
    words = (*SWEEP, "hydra.launcher.workers=2", "output.dir=two")
    process = specflow.start(*words)
    _started(tmp_path / "two", process, 2)
    everything, cores = os.sched_getaffinity(0), []
    while process.poll() is None and len(cores) < 2:
        # A worker takes its cores when it starts.
        own = [os.sched_getaffinity(worker) for worker in _children(process.pid)]
        cores = [one for one in own if one != everything or len(everything) == 1]
        time.sleep(0.02)
    if len(everything) > 1:
        assert cores[0] | cores[1] == everything
        assert not cores[0] & cores[1]
    process.communicate(timeout=120)
    assert process.returncode == 0
    for number in range(3):
        basic, two = tmp_path / f"basic/{number}", tmp_path / f"two/{number}"
        assert arrays(basic) == arrays(two)
