"""One writer a run directory."""

import contextlib
import fcntl
import os
from pathlib import Path

from specflow.diagnostics.errors import Diagnostic, OutputError
from specflow.output.files import reported

__all__ = ["Lock"]


class Lock:
    """Held by the one process that writes a run directory; the system drops it when the
    process ends, however it ends.

    Args:
        path: the lock file; it stays, holding the process id of its last holder.

    Raises:
        OutputError: another process holds it, or the file cannot be written.
    """

    def __init__(self, path: Path):
        with reported(path):
            self._file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise OutputError(
                Diagnostic(
                    str(path.parent),
                    f"process {holder} is writing this run directory",
                    hint="Wait for it or end it, or choose another output.dir.",
                    code="run-locked",
                )
            ) from None
        except OSError:
            # Some network file systems know no locks; a run without one beats no run.
            pass
        with contextlib.suppress(OSError):
            self._file.truncate(0)
            self._file.write(f"{os.getpid()}\n")
            self._file.flush()

    def release(self) -> None:
        """Lets another process write."""
        self._file.close()
