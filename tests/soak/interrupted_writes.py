"""Kills at every file operation of a save, and in the middle of what it writes.

`python -m tests.soak.interrupted_writes FOLDER SEED FAULTS` prints a JSON object: the
number of faults, and the problems. Each fault is a forked process, so that thousands
are cheap; a process of its own, since one in which JAX runs cannot fork.
"""

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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from specflow.config.sections.output import BestConfig
from specflow.output import Checkpointer
from tests.soak.processes import Workplace
from tests.soak.report import Tally

__all__ = ["write_campaign"]

STEPS = (10, 20, 30)
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate"}


def write_campaign(workplace: Workplace, *, seed: int, faults: int) -> Tally:
    """Kills processes that save, retire and supersede checkpoints."""
    tally = Tally("write", "checkpointer")
    folder = workplace.folder / "writes"
    program = [sys.executable, "-m", "tests.soak.interrupted_writes"]
    done = subprocess.run(
        [*program, str(folder), str(seed), str(faults)],
        env=workplace.environment({}),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    result = json.loads(done.stdout)
    tally.tried = result["tried"]
    tally.lost = len(result["problems"])
    tally.survived = tally.tried - tally.lost
    tally.notes = [f"write: {problem}" for problem in result["problems"]]
    return tally


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


def main(folder: Path, seed: int, faults: int) -> None:
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
    tried, found = 0, []
    for kill_at, largest_file in chosen:
        status, _ = _attempt(work, log, kill_at=kill_at, largest_file=largest_file)
        where = f"operation {kill_at}" if kill_at else f"files of {largest_file} bytes"
        if kill_at and status != -signal.SIGKILL:
            found.append(
                f"{where}: the session was not killed, but ended with {status}"
            )
        tried += status < 0  # No file may be as large as the limit.
        found += [f"{where}: {problem}" for problem in _checked(work, log)]
    shutil.rmtree(folder)
    print(json.dumps({"tried": tried, "problems": found}))


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

        def confirm(step: int) -> None:
            os.write(descriptor, f"{step}\n".encode())

        session(work, confirm)
        os.write(descriptor, f"operations {count}\n".encode())

    status = _forked(run)
    _, _, operations = log.read_text().partition("operations ")
    return status, int(operations or 0)


def _checked(work: Path, log: Path) -> list[str]:
    lines = [line for line in log.read_text().split("\n") if line.isdigit()]
    confirmed = int(lines[-1]) if lines else None
    report = log.with_name("report")

    def check() -> None:
        report.write_text(json.dumps(problems(work, confirmed)))

    report.unlink(missing_ok=True)
    if not work.exists():
        return []
    status = _forked(check)
    return json.loads(report.read_text()) if status == 0 else ["the check failed"]


def _forked(function: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
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
