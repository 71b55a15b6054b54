"""New directories, complete or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PREFIX", "is_being_written", "new_directory", "remove_if_abandoned"]

PREFIX = "temp-"
"""Of the name of a directory until it is complete."""


@contextlib.contextmanager
def new_directory(final: Path) -> Iterator[Path]:
    """Creates a directory, complete or not at all.

    It is filled as `temp-<name>` beside its place, and renamed when the block has
    succeeded; otherwise it is removed, by the next call for this name if the process is
    killed.

    Args:
        final: the directory; its parents are created if missing.

    Yields:
        The directory to write to.

    Raises:
        FileExistsError: it exists, or another process is writing it.
        OSError: it cannot be written.
    """
    temporary = final.with_name(PREFIX + final.name)
    lock = _claim(temporary)
    try:
        if final.exists():
            raise FileExistsError(final)
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _claim(temporary: Path) -> int | None:
    """Creates a directory and locks it.

    Raises:
        FileExistsError: another process has it.
    """
    temporary.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.mkdir()  # Exclusive: of two processes, one fails.
    except FileExistsError:
        if not remove_if_abandoned(temporary):
            raise
        temporary.mkdir()
    try:
        return _lock(temporary)
    except (BlockingIOError, FileNotFoundError) as error:
        raise FileExistsError(temporary) from error


def remove_if_abandoned(temporary: Path) -> bool:
    """Removes what a process that has ended left, where that is known.

    A process that writes a new directory holds its lock.

    Returns:
        Whether it was removed.
    """
    try:
        lock = _lock(temporary)
    except OSError:
        return False
    if lock is None:
        return False
    try:
        shutil.rmtree(temporary, ignore_errors=True)
    finally:
        os.close(lock)
    return not temporary.exists()


def is_being_written(temporary: Path) -> bool:
    """Returns whether another process holds the lock of a new directory."""
    try:
        lock = _lock(temporary)
    except BlockingIOError:
        return True
    except OSError:
        return False
    if lock is not None:
        os.close(lock)
    return False


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
