"""`hydra/launcher=specflow_slurm`, by submitit's executor of this machine."""

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from specflow.sweep.pool.slurm_job import SlurmJob
from specflow.sweep.pool.slurm_pool import SlurmPool, executor
from specflow.sweep.pool.trial import Trial
from tests.engines.conftest import (
    LONG,
    PACK,
    ROOT,
    SHORT,
    arrays,
    equal,
    facts,
    lines,
    saved,
    wait,
    workers,
)

pytest.importorskip("submitit")
pytestmark = pytest.mark.slow

FAKE = Path(__file__).with_name("fake_slurm.py")
SLURM = ("hydra/launcher=specflow_slurm", "hydra.launcher.cluster=local")


def events(folder, kind):
    """Events of all jobs of a sweep."""
    files = [one for one in (folder / "jobs").glob("*.jsonl") if one.stem != "jobs"]
    texts = [line for file in files for line in file.read_text().splitlines()]
    return [event[kind] for event in map(json.loads, texts) if kind in event]


@pytest.fixture(scope="module")
def whole(start, sweep):
    """An uninterrupted trial of `LONG`."""
    assert sweep(*LONG, "seed=1", "output.dir=whole")[0] == 0
    return start.cwd / "whole/0"


def test_trials_are_those_of_the_launcher_of_this_machine(start, sweep, local):
    folder, table = local
    words = (*SHORT, "seed=1,2,3", *SLURM, "output.dir=jobs")
    status, out, err = sweep(*words, "hydra.launcher.trials_per_job=2")
    assert status == 0, err
    assert out.replace("jobs/", "local/") == table
    equal(start.cwd / "jobs", folder)
    submitted = (start.cwd / "jobs/jobs/jobs.jsonl").read_text().splitlines()
    numbers = [[n for n, _ in json.loads(line)["trials"]] for line in submitted]
    assert numbers == [[0, 1], [2]]
    # In one process: the second trial of the job finds the program of the first.
    both = [json.loads((start.cwd / f"jobs/{n}/result.json").read_text()) for n in "01"]
    assert both[1]["timing"]["compile"] < both[0]["timing"]["compile"]
    assert sweep(*words)[0] == 0
    assert len(lines(start.cwd / "jobs")) == 6


def test_a_job_runs_its_trials_in_packs(start, sweep, local):
    words = (*SHORT, "seed=1,2,3", *SLURM, *PACK, "output.dir=packs")
    status, _, err = sweep(*words, "hydra.launcher.trials_per_job=2")
    assert status == 0, err
    equal(start.cwd / "packs", local[0])
    assert sorted(events(start.cwd / "packs", "start")) == [0, 1, 2]
    assert sweep(*words)[0] == 0
    assert len(lines(start.cwd / "packs")) == 6


def test_a_killed_supervisor_finds_what_its_jobs_did_meanwhile(start, sweep):
    folder = start.cwd / "killed"
    words = (*LONG, "seed=1,2", *SLURM, "hydra.launcher.trials_per_job=2")
    process = start(*words, "output.dir=killed")
    wait(lambda: saved(folder / "0"), process)
    process.kill()
    process.communicate()
    assert facts(folder) == []
    status, _, err = sweep(*words, "output.dir=killed")
    assert status == 0, err
    assert [one["status"] for one in facts(folder)] == ["complete", "complete"]
    assert events(folder, "start") == [0, 1]
    # Those that ended between two calls are only collected.
    (folder / "trials.jsonl").unlink()
    assert sweep(*words, "output.dir=killed")[0] == 0
    assert [one["status"] for one in facts(folder)] == ["complete", "complete"]
    assert events(folder, "start") == [0, 1]


class Killed(BaseException):
    """The supervisor is killed."""


def test_jobs_that_were_submitted_before_a_kill_are_not_submitted_again(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = (sys.executable, "-m", "tests.sweep.fake_worker")
    trials = [Trial(number=n, overrides=(), directory=str(n)) for n in range(2)]

    def pool():
        return SlurmPool(
            executor(tmp_path / "jobs", "local", 0, {"timeout_min": 5}),
            lambda trials, events: SlurmJob(trials, events, command, {}),
            tmp_path / "jobs",
            cluster="local",
            trials_per_job=2,
            max_concurrent=1,
            retries=0,
            on_start=lambda _: None,
            on_retry=lambda _: None,
            on_reports=lambda _: (),
            on_note=lambda _: None,
        )

    def run(pool):
        with pool:
            for trial in trials:
                pool.submit(trial)
            return [pool.next_outcome().status for _ in trials]

    def killed(jobs):
        submitted.extend(submit(jobs))
        raise Killed

    submitted, first = [], pool()
    submit = first._executor.submit_array
    monkeypatch.setattr(first._executor, "submit_array", killed)
    with pytest.raises(Killed):
        run(first)
    # The first one to resume records the job.
    assert [run(pool()) for _ in range(2)] == [["complete"] * 2] * 2
    assert sorted(events(tmp_path, "start")) == [0, 1]
    assert len((tmp_path / "jobs/jobs.jsonl").read_text().splitlines()) == 1
    submitted[0].wait()


def test_a_preempted_job_is_queued_again_and_resumes(start, whole):
    folder = start.cwd / "preempted"
    process = start(*LONG, "seed=1", *SLURM, "output.dir=preempted")
    wait(lambda: saved(folder / "0"), process)
    ((worker, job),) = workers(start.cwd).items()
    # As Slurm does: to every process of the job.
    for number in (signal.SIGTERM, signal.SIGUSR2):
        for one in (job, worker):
            os.kill(one, number)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    (log,) = (folder / "jobs").glob("*_log.out")
    assert "this job is preempted" in log.read_text() + (
        next((folder / "jobs").glob("*_log.err")).read_text()
    )
    assert events(folder, "start") == [0, 0]
    trial = (folder / "logs/0.log").read_text()
    step = int(trial.rpartition("stopped at step ")[2].split()[0])
    assert f"resumes from step {step}: " in trial
    assert arrays(folder / "0") == arrays(whole)


def test_a_lost_job_is_submitted_again(start, whole):
    folder = start.cwd / "lost"
    process = start(*LONG, "seed=1", *SLURM, "output.dir=lost")
    wait(lambda: saved(folder / "0"), process)
    (job,) = workers(start.cwd).values()
    os.kill(job, signal.SIGKILL)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "trial 0 starts again (died): its job " in err
    assert len((folder / "jobs/jobs.jsonl").read_text().splitlines()) == 2
    assert arrays(folder / "0") == arrays(whole)


def test_ctrl_c_leaves_the_jobs_which_the_same_command_collects(start, sweep, whole):
    folder = start.cwd / "left"
    words = (*LONG, "seed=1", *SLURM, "output.dir=left")
    process = start(*words)
    wait(lambda: saved(folder / "0"), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    job = json.loads((folder / "jobs/jobs.jsonl").read_text())["job"]
    assert err.endswith(
        "stopped: 0 of 1 trials are complete; the same command with output.dir=left "
        f"resumes; jobs that continue: {job} (scancel {job} ends them)\n"
    )
    assert sweep(*words)[0] == 0
    assert events(folder, "start") == [0]
    assert arrays(folder / "0") == arrays(whole)


def test_a_trial_that_fails_ends_alone(start, sweep):
    status, out, _ = sweep(
        *SHORT,
        "optimizer.lr=1e-3,1e38",
        *SLURM,
        "hydra.launcher.trials_per_job=2",
        "output.dir=failed",
    )
    assert status == 2
    assert out.splitlines()[2].split(maxsplit=2)[2].startswith("failed (nan): step 2: ")
    records = facts(start.cwd / "failed")
    assert [(one["failure"], one["attempts"]) for one in records] == [
        ("", 1),
        ("nan", 1),
    ]


@pytest.fixture
def slurm(tmp_path):
    """Environment variables of a machine with the commands of Slurm."""
    state, commands = tmp_path / "state", tmp_path / "commands"
    state.mkdir()
    commands.mkdir()
    for name in ("sbatch", "srun", "sacct", "scontrol"):
        file = commands / name
        call = f"{sys.executable} {FAKE} {name}"
        file.write_text(f'#!/bin/sh\nexec {call} "$@"\n')
        file.chmod(0o755)
    path = os.pathsep.join([str(commands), os.environ["PATH"]])
    return {"PATH": path, "FAKE_SLURM": str(state)}


def test_an_array_of_jobs_gets_its_options_and_survives_a_preemption(
    start, slurm, whole
):
    folder = start.cwd / "array"
    process = start(
        *(*LONG, "seed=1,2", SLURM[0], "output.dir=array"),
        *("hydra.launcher.partition=gpu", "hydra.launcher.account=vision"),
        *("hydra.launcher.gpus_per_node=1", "hydra.launcher.mem_gb=8"),
        "+hydra.launcher.additional_parameters.mail-type=FAIL",
        env=slurm,
    )
    wait(lambda: saved(folder / "0"), process)
    ((_, job),) = workers(start.cwd).items()
    for number in (signal.SIGTERM, signal.SIGUSR2):
        os.kill(job, number)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    (script,) = Path(slurm["FAKE_SLURM"]).glob("*.sh")
    options = re.findall(r"^#SBATCH --(\S+)$", script.read_text(), re.M)
    assert {
        "array=0-1%2",
        "partition=gpu",
        "account=vision",
        "gpus-per-node=1",
        "mem=8GB",
        "time=60",
        "job-name=specflow",
        "mail-type=FAIL",
        "signal=USR2@90",
    } <= set(options)
    assert [one["status"] for one in facts(folder)] == ["complete"] * 2
    # The first one ran twice: before the preemption and after it.
    assert sorted(events(folder, "start")) == [0, 0, 1]
    assert arrays(folder / "0") == arrays(whole)


@pytest.mark.parametrize(
    ("state", "kind", "status"),
    [("CANCELLED by 0", "cancelled", 1), ("OUT_OF_MEMORY", "out-of-memory", 75)],
)
def test_the_state_of_a_lost_job_says_why(start, slurm, state, kind, status):
    folder = start.cwd / kind
    words = (*LONG, "seed=1", SLURM[0], f"output.dir={kind}")
    process = start(*words, "hydra.launcher.retries=0", env=slurm)
    wait(lambda: saved(folder / "0"), process)
    ((_, job),) = workers(start.cwd).items()
    (file,) = Path(slurm["FAKE_SLURM"]).glob("*.state")
    file.write_text(state)
    os.kill(job, signal.SIGKILL)
    out, err = process.communicate(timeout=240)
    assert process.returncode == status, err
    name = (folder / "jobs/jobs.jsonl").read_text().split('"')[3]
    message = f"its job {name} ended without a result ({state.lower()})"
    assert [(one["failure"], one["error"]) for one in facts(folder)] == [
        (kind, message)
    ]
    assert f"failed ({kind}): {message}\n" in out


def test_without_slurm_there_is_one_error(start, sweep):
    words = (*SHORT, "seed=1,2", SLURM[0], "output.dir=none")
    status, out, err = sweep(*words)
    assert (status, out) == (2, "")
    assert err == (
        "error[cluster] hydra.launcher: srun is not found: this machine is not part of "
        "a Slurm cluster. See `sinfo`; hydra.launcher.cluster=local runs the jobs on "
        "this machine.\n"
    )
    assert not (start.cwd / "none/trials.jsonl").exists()
