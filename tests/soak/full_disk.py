"""A full disk: files that cannot grow, and a small file system that fills up."""

import contextlib
import functools
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.soak.cases import Case
from tests.soak.kills import final_problems
from tests.soak.processes import Ended, Workplace
from tests.soak.report import Tally
from tests.soak.runs import KINDS, Reference, files_of, problems_of_checkpoints

__all__ = ["disk_cases", "small_disk", "status_problems"]

_STATUS = 75
SAVE = "specflow.output.checkpoint.checkpoint_writer:CheckpointWriter._write:{}"
"""The call that writes the n-th checkpoint, in each of several processes."""
_DISK = 64 << 20
"""Size of a small file system in bytes."""


def disk_cases(reference: Reference, *, seed: int, attempts: int = 6) -> Iterator[Case]:
    """Trains with too little space, then again with enough.

    In turn: a limit of the size of files, the space of a file system, and a limit of
    the size of files that begins while a checkpoint is written, where no check before a
    save can find it. All are below what every run writes, so that each attempt meets
    its limit.
    """
    name = reference.experiment.name
    kinds = {"files": _limited_files, "disk": _limited_disk, "save": _limited_save}
    for number in range(attempts):
        kind = [*kinds][number % len(kinds)]
        case = f"{kind} {number // len(kinds)}"
        rng = random.Random(f"{seed} disk {name} {case}")
        attempt = functools.partial(kinds[kind], reference, rng)
        yield Case("disk", name, case, seed, attempt)


def _limited_files(
    reference: Reference, rng: random.Random, workplace: Workplace, tally: Tally
) -> None:
    largest = max(path.stat().st_size for path in files_of(reference.directory))
    run = workplace.folder / "run"
    # From nothing at all to just less than the largest file.
    limit = round(rng.uniform(0, 1) * (largest - 1))
    program = reference.experiment.program(run)
    ended = workplace.run(program, SOAK_LARGEST_FILE=str(limit))
    what = f"files of at most {limit} bytes"
    _judge(reference, workplace, tally, run, ended, what)


def _limited_save(
    reference: Reference, rng: random.Random, workplace: Workplace, tally: Tally
) -> None:
    experiment, run = reference.experiment, workplace.folder / "run"
    files = files_of(reference.directory / "checkpoints" / str(reference.last))
    largest = max(path.stat().st_size for path in files)
    save, limit = rng.randrange(1, len(reference.steps)), rng.randrange(largest)
    hooks = {"SOAK_AT": SAVE.format(save), "SOAK_LARGEST_FILE": str(limit)}
    if experiment.processes > 1:
        hooks["SOAK_INDEX"] = str(rng.randrange(experiment.processes))
    ended = workplace.run(experiment.program(run), **hooks)
    what = f"files of at most {limit} bytes from save {save} on"
    _judge(reference, workplace, tally, run, ended, what)


def _limited_disk(
    reference: Reference, rng: random.Random, workplace: Workplace, tally: Tally
) -> None:
    with small_disk(workplace.folder / "small", _DISK) as (disk, reason):
        if disk is None:
            tally.skip(reason)
            return
        run, free = disk / "run", round(rng.uniform(0, 0.9) * _space(reference))
        balloon = disk / "balloon"
        _fill(balloon, free)
        ended = workplace.run(reference.experiment.program(run))
        balloon.unlink()
        what = f"a disk with {free} bytes left"
        _judge(reference, workplace, tally, run, ended, what)


def _space(reference: Reference) -> int:
    """Bytes that a finished run needs at least: its checkpoints are the three kept."""
    sizes: dict[str, int] = {}
    for path in files_of(reference.directory):
        part = path.relative_to(reference.directory).parts
        key = "/".join(part[:2]) if part[0] in KINDS else "others"
        sizes[key] = sizes.get(key, 0) + path.stat().st_size
    checkpoints = [size for key, size in sizes.items() if key.startswith(KINDS[0])]
    return sizes["others"] + 3 * min(checkpoints)


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
    if ended.hung:
        tally.add("hung", f"{what}: hung: {ended.err}")
        return
    problems = status_problems(ended, is_script=experiment.script is not None)
    if (run / "checkpoints").is_dir():
        problems += problems_of_checkpoints(run, reference)
    final = workplace.run(experiment.program(run))
    outcome, final_ones = final_problems(reference, run, final)
    tally.judge([f"{what}: {p}" for p in [*problems, *final_ones]], outcome)


def status_problems(ended: Ended, *, is_script: bool) -> list[str]:
    """Problems with how a run ends that could not write what it has to.

    Args:
        ended: the process.
        is_script: of a user, where the error is an exception.
    """
    if ended.status == 0:
        return [f"ended with 0, though it could not write everything: {ended.err}"]
    if ended.status != (1 if is_script else _STATUS):
        return [f"ended with {ended.status}: {ended.err}"]
    errors = [line for line in ended.err.splitlines() if line.startswith("error")]
    if not is_script and (len(errors) != 1 or "Traceback" in ended.err):
        return [f"is not one message: {ended.err}"]
    return []
