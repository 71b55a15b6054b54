"""Lock of a run directory: one process writes it."""

import contextlib
import os
from pathlib import Path

from specflow.diagnostics.errors import Diagnostic, OutputError
from specflow.output.files import reported

__all__ = ["Lock", "holder"]


class Lock:
    """Held by the one process that writes a run directory.

    The operating system releases it when the process ends, also after SIGKILL: a file
    that a killed process left blocks no one. On a network file system without locks
    (NFS mounted with `nolock`, some FUSE file systems) the run continues without one,
    and two processes can write the same directory.

    Args:
        path: the lock file; it stays, and contains the process id of its last holder.

    Raises:
        OutputError: another process holds it, or the file cannot be written.
    """

    def __init__(self, path: Path):
        import filelock  # Tens of milliseconds, which only a run that writes needs.

        with reported(path):
            path.touch()  # filelock would report a missing folder as a held lock.
        # A marker file in place of a lock (`fallback_to_soft`) would outlive SIGKILL on
        # another host. Any thread may release.
        self._lock = filelock.FileLock(
            path, blocking=False, thread_local=False, fallback_to_soft=False
        )
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise OutputError(
                Diagnostic(
                    str(path.parent),
                    f"process {_holder(path)} is writing this run directory",
                    hint="Wait for it or end it, or choose another output.dir.",
                    code="run-locked",
                )
            ) from None
        except (OSError, NotImplementedError):
            pass  # A file system without locks: a run without one is better than none.
        with contextlib.suppress(OSError):
            path.write_text(f"{os.getpid()}\n", encoding="utf-8")

    def release(self) -> None:
        """Lets another process write."""
        self._lock.release()


def holder(path: Path) -> str | None:
    """Returns the process id in a lock file that is held now; None if it is free.

    On a file system without locks, and on Windows, no lock is known to be held.
    """
    try:
        import fcntl
    except ImportError:
        return None
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _holder(path)
    except OSError:
        pass  # There is no file, or there are no locks.
    return None


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        return path.read_text(encoding="utf-8").strip() or "unknown"
    return "unknown"
