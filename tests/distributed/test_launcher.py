"""`launch` and processes that end; short programs take the place of specflow."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from specflow.cli import main
from specflow.distributed import launch as launcher
from specflow.distributed.launch import launch

ROOT = Path(__file__).parents[2]
START = """
import os, signal, sys, time
from pathlib import Path
from specflow.distributed import launcher_link as link
link.watch()
index = int(os.environ["SPECFLOW_PROCESS_INDEX"])
"""


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def launching(code, *words, processes=2, restarts=0):
    return launch(
        words, processes=processes, restarts=restarts, program=("-c", START + code)
    )


KILLED = """
link.report(step=7)
link.report(step=12)
if index == 1:
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)
"""


def test_a_killed_process_is_named_with_its_last_step(capfd, monkeypatch):
    monkeypatch.setattr(launcher, "_GRACE_S", 0.1)
    assert launching(KILLED) == 128 + signal.SIGKILL
    assert capfd.readouterr().err == (
        "error[process-lost] process 1: was killed by SIGKILL (often: out of memory) "
        "after step 12; its status is 137. The same command resumes from the newest "
        "checkpoint.\n"
    )


CRASHED = """
if index == 0:
    os.kill(os.getpid(), signal.SIGSEGV)
print("process 0 was lost")
sys.exit(75)
"""


def test_a_killed_process_is_reported_once(capfd):
    assert launching(CRASHED) == 128 + signal.SIGSEGV
    assert capfd.readouterr().err == (
        "error[process-lost] process 0: was killed by SIGSEGV before its first step; "
        "its status is 139. The same command resumes from the newest checkpoint.\n"
    )


INSISTED = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
if index == 1:
    Path("ready").touch()
else:
    while not Path("ready").exists():
        time.sleep(0.02)
    for _ in range(2):
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(0.3)
time.sleep(60)
"""


def test_a_second_signal_ends_all_processes_with_its_status(
    capfd, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    assert launching(INSISTED, restarts=1) == 128 + signal.SIGINT
    assert capfd.readouterr().err == ""


RESTARTED = """
Path(f"{index}.txt").open("a").write(" ".join(sys.argv[1:]) + "\\n")
attempts = len(Path(f"{index}.txt").read_text().splitlines())
starts, status = eval(os.environ["STARTS"]), int(os.environ["STATUS"])
if attempts > len(starts):
    sys.exit(0)
link.report(directory=os.getcwd() + "/it's", start=starts[attempts - 1])
sys.exit(status)
"""


@pytest.mark.parametrize(
    ("starts", "status", "restarts", "attempts", "expected"),
    [
        # At most as often as requested without a newer checkpoint.
        ([0, 0, 0, 0], 75, 2, 3, 75),
        # A newer checkpoint each time: the count begins again.
        ([0, 5, 9, 12], 75, 1, 5, 0),
        # One that is newer once, then none.
        ([0, 5, 5, 5], 75, 1, 3, 75),
        # Preempted: saved and exited.
        ([0], 143, 1, 2, 0),
        # Errors of the user fail again.
        ([0, 0], 2, 3, 1, 2),
        ([0, 0], 1, 3, 1, 1),
        # Not requested.
        ([0], 75, 0, 1, 75),
    ],
)
def test_all_processes_restart_after_a_machine_failure(
    starts, status, restarts, attempts, expected, monkeypatch, tmp_path, capfd
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STARTS", str(starts))
    monkeypatch.setenv("STATUS", str(status))
    assert launching(RESTARTED, "train", restarts=restarts) == expected
    for index in range(2):
        calls = (tmp_path / f"{index}.txt").read_text().splitlines()
        # The directory of the first run may have the time in its name.
        again = f"train output.dir='{tmp_path}/it\\'s'"
        assert calls == ["train", *[again] * (attempts - 1)]
    assert capfd.readouterr().err.count("restart ") == attempts - 1


ORPHANS = """
def saved(*_):
    Path(f"saved{index}").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, saved)
Path(f"ready{index}").touch()
time.sleep(60)
"""
LAUNCH = f"""
import sys
from specflow.distributed.launch import launch
launch((), processes=2, program=("-c", {START + ORPHANS!r}))
"""


def until_there(*files):
    until = time.monotonic() + 60
    while not all(file.exists() for file in files) and time.monotonic() < until:
        time.sleep(0.05)
    return all(file.exists() for file in files)


def test_processes_of_a_killed_launcher_get_sigterm(tmp_path):
    with subprocess.Popen([sys.executable, "-c", LAUNCH], cwd=tmp_path) as started:
        assert until_there(tmp_path / "ready0", tmp_path / "ready1")
        started.kill()
    assert until_there(tmp_path / "saved0", tmp_path / "saved1")


def test_a_process_without_a_launcher_keeps_running(monkeypatch, tmp_path):
    with (tmp_path / "file").open("w") as file:
        # Inherited from a parent process that a launcher started.
        monkeypatch.setenv("SPECFLOW_LAUNCHER", str(file.fileno()))
        code = f"{START}time.sleep(0.1)"
        environment = {**os.environ, "SPECFLOW_PROCESS_INDEX": "0"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            pass_fds=[file.fileno()],
            timeout=60,
            check=False,
        )
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            ["--restarts", "-1", "--", "train"],
            "--restarts: got -1 (command line). Expected 0 or more",
        ),
        (
            ["--restarts", "1", "--", "train", "-m", "seed=1,2"],
            "--restarts: cannot restart a sweep: each trial has a directory of its own "
            "(command line)",
        ),
    ],
)
def test_invalid_restarts_are_usage_errors(words, problem, capsys):
    assert main.main(["launch", "--processes", "2", *words]) == 2
    assert f"error[usage] {problem}" in capsys.readouterr().err


MISTAKEN = """
mistake = "seed: got -1" if index < 3 else "seed: got -2"
print(mistake, file=sys.stderr, flush=True)
link.report(mistake=mistake)
sys.exit(2)
"""


def test_a_config_error_of_all_processes_is_printed_once(capfd):
    assert launching(MISTAKEN, processes=4) == 2
    assert capfd.readouterr().err == "seed: got -1\n[3] seed: got -2\n"
