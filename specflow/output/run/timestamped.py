"""Directories named by the second they were made in, whole or not there."""

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
    """A new directory `base/<seconds since 1970>`, which is there once it is complete.

    It is prepared as `base/temp-<seconds>` and renamed when the block has succeeded;
    otherwise it is removed. If the second is taken, the next one is waited for, up to
    ten times.

    Args:
        base: where; it is made if need be.
        now: tells the time.
        sleep: waits.

    Yields:
        (where to write, where that will be).

    Raises:
        OutputError: nothing can be written there, or ten seconds in a row were taken.
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
    """A temporary directory that nobody else has, and its name to be."""
    seconds = ""
    for attempt in range(_TRIES):
        if attempt:
            sleep(1.0)
        seconds = f"{int(now()):010d}"
        temporary, final = base / f"temp-{seconds}", base / seconds
        with reported(final):
            base.mkdir(parents=True, exist_ok=True)
            # To make it is to have it: two processes cannot.
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
