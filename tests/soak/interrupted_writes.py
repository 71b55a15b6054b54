"""Kills at every file operation of a save, and in the middle of what it writes.

`python -m tests.soak.interrupted_writes FOLDER SEED FAULTS FIRST LAST` prints a JSON
array: outcome and problems of these of all faults. Each fault is a forked process, so
that thousands are cheap; a process of its own, since one in which JAX runs cannot fork.
"""

import functools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from specflow.config.sections.output import BestConfig
from specflow.output import Checkpointer
from specflow.output.checkpoint import disk_space
from tests.soak.cases import Case
from tests.soak.processes import TIMEOUT_S, Workplace
from tests.soak.report import Tally

__all__ = ["write_cases"]

STEPS = (10, 20, 30)
_FAULTS_PER_CASE = 50
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate"}


def write_cases(*, seed: int, faults: int) -> Iterator[Case]:
    """Kills processes that save, retire and supersede checkpoints."""
    for first in range(0, faults, _FAULTS_PER_CASE):
        last = min(first + _FAULTS_PER_CASE, faults)
        attempt = functools.partial(_interrupt, [seed, faults, first, last])
        name = f"faults {first + 1} to {last} of {faults}"
        yield Case("write", "checkpointer", name, seed, attempt)


def _interrupt(numbers: list[int], workplace: Workplace, tally: Tally) -> None:
    folder = workplace.folder / "writes"
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.interrupted_writes", folder]
        + [str(number) for number in numbers],
        env=workplace.environment({}),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    for outcome, problems in json.loads(done.stdout):
        tally.judge(problems, outcome)


def state_of(step: int) -> dict[str, Any]:
    """A state that is a function of its step."""
    rng = np.random.default_rng(step)
    weights = rng.standard_normal((64, 8), np.float32)
    return {"step": np.int32(step), "params": {"w": weights, "b": weights[0]}}


def session(folder: Path, confirm: Callable[[int], None]) -> None:
    """Saves three steps, then resumes from the second one and saves again.

    Args:
        folder: of the checkpoints.
        confirm: called with each step that is known to be on disk.
    """
    best = BestConfig()
    with Checkpointer(folder, keep=2, best=best) as checkpointer:
        for step in STEPS:
            data = {"next_index": step}
            metrics = {"loss": float(step)}
            checkpointer.save(step, state_of(step), data=data, metrics=metrics)
            checkpointer.wait()
            confirm(step)
        checkpointer.add_metrics(30, {"loss": 0.5})
    with Checkpointer(folder, keep=2, best=best) as checkpointer:
        checkpointer.restore(_abstract(), step=20)
        confirm(20)
        checkpointer.save(30, state_of(30), data={"next_index": 30})
        checkpointer.wait()
        confirm(30)


def problems(folder: Path, confirmed: int | None) -> list[str]:
    """Problems of a directory after a kill, and of what resumes in it."""
    with Checkpointer(folder, keep=2) as checkpointer:
        steps = checkpointer.steps()
        found = [
            f"step {step} has other values"
            for step in steps
            if not _is_right(checkpointer, step)
        ]
        if confirmed is not None and confirmed not in steps:
            found.append(f"step {confirmed} was complete and is gone: {steps}")
        if not steps:
            return found
        restored = checkpointer.restore(_abstract())
        if restored.step != steps[-1]:
            found.append(f"step {restored.step} was restored, of {steps}")
        checkpointer.save(99, state_of(99), data={"next_index": 99})
        checkpointer.wait()
        if checkpointer.steps()[-1] != 99 or not _is_right(checkpointer, 99):
            found.append(f"the next save failed: {checkpointer.steps()}")
    names = [path.name for path in folder.iterdir() if not path.name.isdigit()]
    return found + [f"left behind: {n}" for n in names if n != "superseded"]


def main(folder: Path, seed: int, faults: int, first: int, last: int) -> None:
    # Only forked processes start its threads.
    warnings.filterwarnings("ignore", message="os.fork")
    rng = random.Random(f"{seed} write")
    folder.mkdir(parents=True, exist_ok=True)
    log, work = folder / "log", folder / "checkpoints"
    operations = _attempt(work, log, kill_at=None)[1]
    largest = max(path.stat().st_size for path in work.rglob("*") if path.is_file())
    kills = [(number, None) for number in range(1, operations + 1)]
    torn = [(None, rng.randrange(largest)) for _ in range(max(1, faults - operations))]
    chosen = rng.sample(cases := [*kills, *torn], min(faults, len(cases)))
    outcomes = []
    for kill_at, largest_file in chosen[first:last]:
        status, _ = _attempt(work, log, kill_at=kill_at, largest_file=largest_file)
        where = f"operation {kill_at}" if kill_at else f"files of {largest_file} bytes"
        expected = -(signal.SIGKILL if kill_at else signal.SIGXFSZ)
        if status != expected:
            found = [f"the session was not killed, but ended with {status}"]
        else:
            status, found = _checked(work, log)
        outcome = "hung" if status == -signal.SIGALRM else "lost"
        outcomes.append((outcome, [f"{where}: {problem}" for problem in found]))
    print(json.dumps(outcomes))


def _attempt(
    work: Path, log: Path, *, kill_at: int | None, largest_file: int | None = None
) -> tuple[int, int]:
    """Runs a session in a forked process: its status and its file operations."""
    shutil.rmtree(work, ignore_errors=True)
    log.write_text("")

    def run() -> None:
        descriptor, count = os.open(log, os.O_WRONLY | os.O_APPEND), 0

        def audit(event: str, args: tuple[Any, ...]) -> None:
            nonlocal count
            is_change = event in _CHANGES
            if event == "open" and isinstance(args[0], str):
                is_change = bool(args[2] & (os.O_WRONLY | os.O_RDWR))
            if is_change and str(args[0]).startswith(str(work)):
                count += 1
                if count == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(audit)
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            # Writes up to the limit, and is killed by the next byte.
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, hard))
            # The check before a save would leave nothing to interrupt.
            disk_space.largest_file = lambda: None

        def confirm(step: int) -> None:
            os.write(descriptor, f"{step}\n".encode())

        session(work, confirm)
        os.write(descriptor, f"operations {count}\n".encode())

    status = _forked(run)
    _, _, operations = log.read_text().partition("operations ")
    return status, int(operations or 0)


def _checked(work: Path, log: Path) -> tuple[int, list[str]]:
    """Exit status and problems of what resumes after a kill."""
    lines = [line for line in log.read_text().split("\n") if line.isdigit()]
    confirmed = int(lines[-1]) if lines else None
    report = log.with_name("report")

    def check() -> None:
        report.write_text(json.dumps(problems(work, confirmed)))

    report.unlink(missing_ok=True)
    if not work.exists():
        return 0, []
    if status := _forked(check):
        return status, [f"what resumes ended with {status}"]
    return 0, json.loads(report.read_text())


def _forked(function: Callable[[], None]) -> int:
    """Runs a function in a forked process, and returns its exit status.

    One that hangs is ended by SIGALRM.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(round(TIMEOUT_S))
            function()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _abstract() -> dict[str, Any]:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state_of(0)
    )


def _is_right(checkpointer: Checkpointer, step: int) -> bool:
    arrays, expected = checkpointer.arrays(step), state_of(step)
    return (
        arrays["step"].tobytes() == expected["step"].tobytes()
        and all(
            arrays[f"params/{name}"].tobytes() == expected["params"][name].tobytes()
            for name in ("w", "b")
        )
        and checkpointer.data_position(step) == {"next_index": step}
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
