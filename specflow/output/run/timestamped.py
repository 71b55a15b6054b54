"""Directories named by their second of creation, created atomically."""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from specflow.diagnostics.errors import Diagnostic, OutputError
from specflow.output.files import reported

__all__ = ["timestamped"]

_TRIES = 10


@contextlib.contextmanager
def timestamped(
    base: Path,
    *,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[Path, Path]]:
    """Creates a directory `base/<seconds since 1970>`, complete or not at all.

    It is filled as `base/temp-<seconds>` and renamed when the block has succeeded;
    otherwise it is removed. If a directory of this second exists, waits for the next
    second, up to ten times.

    Args:
        base: parent directory; created if missing.
        now: clock, in seconds since 1970.
        sleep: waits for a number of seconds.

    Yields:
        (directory to write to, its final path).

    Raises:
        OutputError: the directory cannot be written, or ten seconds in a row were
            taken.
    """
    temporary, final = _claimed(base, now, sleep)
    try:
        with reported(final):
            yield temporary, final
            for file in temporary.rglob("*"):
                if file.is_file():
                    with file.open("rb") as written:
                        os.fsync(written.fileno())
            temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _claimed(
    base: Path, now: Callable[[], float], sleep: Callable[[float], None]
) -> tuple[Path, Path]:
    """Creates a temporary directory exclusively; returns it and its final path."""
    seconds = ""
    for attempt in range(_TRIES):
        if attempt:
            sleep(1.0)
        seconds = f"{int(now()):010d}"
        temporary, final = base / f"temp-{seconds}", base / seconds
        with reported(final):
            base.mkdir(parents=True, exist_ok=True)
            # mkdir is exclusive: of two processes, one fails.
            with contextlib.suppress(FileExistsError):
                temporary.mkdir()
                if not final.exists():
                    return temporary, final
                temporary.rmdir()
    raise OutputError(
        Diagnostic(
            str(base),
            f"{_TRIES} seconds in a row are taken, the last by {seconds}",
            hint="Export to another directory, or one export at a time.",
            code="output-taken",
        )
    )
