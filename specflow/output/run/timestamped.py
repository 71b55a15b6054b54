"""Directories named by their second of creation, created atomically."""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from specflow.diagnostics.errors import Diagnostic, OutputError
from specflow.output.files import reported

__all__ = ["timestamped"]

_TRIES = 10
_TEMPORARY = re.compile("temp-[0-9]{10}")


@contextlib.contextmanager
def timestamped(
    base: Path,
    *,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[Path, Path]]:
    """Creates a directory `base/<seconds since 1970>`, complete or not at all.

    It is filled as `base/temp-<seconds>` and renamed when the block has succeeded;
    otherwise it is removed, by the next call if this process is killed. If a directory
    of this second exists, waits for the next second, up to ten times.

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
    _remove_abandoned(base)
    with _claimed(base, now, sleep) as (temporary, final):
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


@contextlib.contextmanager
def _claimed(
    base: Path, now: Callable[[], float], sleep: Callable[[float], None]
) -> Iterator[tuple[Path, Path]]:
    """Creates a locked temporary directory; yields it and its final path."""
    seconds = ""
    for attempt in range(_TRIES):
        if attempt:
            sleep(1.0)
        seconds = f"{int(now()):010d}"
        temporary, final = base / f"temp-{seconds}", base / seconds
        with reported(final):
            base.mkdir(parents=True, exist_ok=True)
            try:
                temporary.mkdir()  # Exclusive: of two processes, one fails.
                if final.exists():
                    temporary.rmdir()
                    continue
                lock = _lock(temporary)
            except (FileExistsError, FileNotFoundError, BlockingIOError):
                continue  # Of another process, or removed by one before the lock.
        try:
            yield temporary, final
        finally:
            if lock is not None:
                os.close(lock)
        return
    raise OutputError(
        Diagnostic(
            str(base),
            f"{_TRIES} seconds in a row are taken, the last by {seconds}",
            hint="Export to another directory, or one export at a time.",
            code="output-taken",
        )
    )


def _remove_abandoned(base: Path) -> None:
    """Removes temporary directories of processes that have ended, where that is known.

    A process that writes holds the lock of its directory.
    """
    for path in base.glob("temp-*"):
        if _TEMPORARY.fullmatch(path.name) is None:
            continue
        with contextlib.suppress(OSError):
            lock = _lock(path)
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def _lock(folder: Path) -> int | None:
    """Locks a directory until the descriptor is closed or the process ends.

    Returns:
        The descriptor; None if there are no locks: on Windows, and on some network
        file systems.

    Raises:
        BlockingIOError: another process has locked the directory.
        FileNotFoundError: another process has removed it.
    """
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), folder.stat()):
            return descriptor
        raise FileNotFoundError(folder)
    except (BlockingIOError, FileNotFoundError):
        os.close(descriptor)
        raise
    except OSError:
        os.close(descriptor)
        return None
