"""A full disk: files that cannot grow, and a small file system that fills up."""

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.soak.kills import final_problems
from tests.soak.processes import Ended, Workplace
from tests.soak.report import Tally
from tests.soak.runs import Reference, files_of, problems_of_checkpoints

__all__ = ["disk_campaign", "small_disk"]

_STATUS = 75
_MIB = 1 << 20


def disk_campaign(
    reference: Reference, workplace: Workplace, *, seed: int, attempts: int = 6
) -> Tally:
    """Trains with too little space, then again with enough.

    Half of the attempts limit the size of files, half the space of a file system.
    """
    experiment = reference.experiment
    rng = random.Random(f"{seed} disk {experiment.name}")
    tally = Tally("disk", experiment.name)
    total = sum(path.stat().st_size for path in files_of(reference.directory))
    largest = max(path.stat().st_size for path in files_of(reference.directory))
    folder = workplace.folder / f"{experiment.name}-disk"
    shutil.rmtree(folder, ignore_errors=True)
    for number in range((attempts + 1) // 2):
        run = folder / f"limited-{number}"
        # From nothing at all to just less than the largest file.
        limit = round(rng.uniform(0, 1) * largest)
        ended = workplace.run(experiment.program(run), SOAK_LARGEST_FILE=str(limit))
        what = f"files of at most {limit} bytes"
        _judge(reference, workplace, tally, run, ended, what)
    with small_disk(folder / "small", 64 * _MIB) as (disk, reason):
        for number in range(attempts // 2):
            if disk is None:
                tally.skipped.append(f"{experiment.name}: {reason}")
                break
            run, free = disk / f"run-{number}", rng.uniform(0, 0.9) * total
            balloon = disk / "balloon"
            _fill(balloon, round(free))
            ended = workplace.run(experiment.program(run))
            balloon.unlink()
            what = f"a disk with {free:.0f} bytes left"
            _judge(reference, workplace, tally, run, ended, what)
            shutil.rmtree(run, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    return tally


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[tuple[Path | None, str]]:
    """Mounts a file system of a size in bytes; (None, reason) if that is impossible."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        yield None, "mounting a small file system needs root"
        return
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        yield None, f"no small file system: {done.stderr.strip()}"
        return
    try:
        yield folder, ""
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(balloon: Path, left: int) -> None:
    """Fills a file system but for a number of bytes."""
    with balloon.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
            file.flush()
    space = os.statvfs(balloon.parent)
    wanted = max(0, left - space.f_bavail * space.f_frsize)
    os.truncate(balloon, max(0, balloon.stat().st_size - wanted))


def _judge(
    reference: Reference,
    workplace: Workplace,
    tally: Tally,
    run: Path,
    ended: Ended,
    what: str,
) -> None:
    """Judges a run without space, then resumes it with enough."""
    experiment = reference.experiment
    where = f"{experiment.name}, {what}"
    if ended.hung:
        tally.survive(f"{where}: hung: {ended.err}", kind="hung")
        return
    problems = []
    is_script = experiment.script is not None
    if ended.status not in ((0, 1) if is_script else (0, _STATUS)):
        problems.append(f"ended with {ended.status}: {ended.err}")
    if not is_script and ended.status:
        errors = [line for line in ended.err.splitlines() if line.startswith("error")]
        if len(errors) != 1 or "Traceback" in ended.err:
            problems.append(f"is not one message: {ended.err}")
    if (run / "checkpoints").is_dir():
        problems += problems_of_checkpoints(run, reference)
    final = workplace.run(experiment.program(run))
    problems += final_problems(reference, run, final)
    tally.survive(*(f"{where}: {problem}" for problem in problems))
