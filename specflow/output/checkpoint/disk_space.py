"""Disk space for checkpoints, checked before the first step and before each save."""

import math
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

from specflow.diagnostics.errors import Diagnostic, OutputError, SpecflowWarning
from specflow.output.checkpoint.checkpoint_directory import CheckpointDirectory
from specflow.output.checkpoint.retention_rules import Policies
from specflow.output.files import reported
from specflow.runtime.formatting import human
from specflow.runtime.typing import Tree, leaves

__all__ = ["DiskSpace", "bytes_of", "free_bytes", "largest_file"]

_ENOUGH = 3
"""Number of checkpoints for which there is room without a warning."""
_UNFINISHED = re.compile(r"\.partial$|^deleting-")


class DiskSpace:
    """Checks that a disk has room for checkpoints, and that their directory exists.

    A new checkpoint is complete before an older one is removed: there must be room for
    one beside those that are kept. Process 0 alone makes these calls.

    Args:
        directory: the checkpoints.
        policies: which checkpoints are kept.
    """

    def __init__(self, directory: CheckpointDirectory, policies: Policies):
        self._directory, self._policies = directory, policies
        self._has_begun = False
        self._has_warned = False

    def begin(self, need: int) -> None:
        """Creates the directory before training, and checks the space for its saves.

        Args:
            need: bytes of the arrays of a checkpoint; see `bytes_of`.

        Raises:
            OutputError: there is no room for a checkpoint, or no directory to write.
        """
        self._has_begun = False
        self.check(need)
        with reported(self._directory.path):
            self._directory.path.mkdir(parents=True, exist_ok=True)
        self._has_begun = True

    def end(self) -> None:
        """Notes the end of training: a later call may begin in a new directory."""
        self._has_begun = False

    def check(self, need: int) -> None:
        """Checks the space for one more checkpoint; warns once when it is short.

        The warning comes again only after there was room for three in between.

        Args:
            need: bytes of the arrays of a checkpoint; see `bytes_of`.

        Raises:
            OutputError: there is no room, or the directory has vanished.
        """
        self.check_directory()
        error, warning = self.diagnostics(need)
        if error is not None:
            raise OutputError(error)
        if warning is not None and not self._has_warned:
            warnings.warn(SpecflowWarning(warning), stacklevel=2)
        self._has_warned = warning is not None

    def check_directory(self) -> None:
        """Checks that the directory still exists, where training has begun.

        Written again, it would be a directory without the files of its run.

        Raises:
            OutputError: it has been removed, or cannot be reached.
        """
        path = self._directory.path
        with reported(path):
            if not self._has_begun or path.is_dir():
                return
        raise OutputError(_vanished(path))

    def diagnostics(self, need: int) -> tuple[Diagnostic | None, Diagnostic | None]:
        """Returns an error if no checkpoint fits, and a warning if fewer than three do.

        Args:
            need: bytes of the arrays of a checkpoint; see `bytes_of`.

        Returns:
            (error, warning): at most one of them, else None.
        """
        limit = largest_file()
        # Several processes write a file each, none of them longer than the largest.
        if limit is not None and limit < need / _process_count():
            return _file_size_limit(self._directory, limit, need), None
        newest = self._directory.newest()
        if newest is not None:
            need = max(need, _size(self._directory.step_path(newest)))
        free = free_bytes(self._directory.path)
        if free is None or not need:
            return None, None
        # The next save removes them first.
        free += sum(map(_size, self._unfinished()))
        if free < need:
            return self._full(free, need, newest), None
        return None, self._short(free, need) if free < _ENOUGH * need else None

    def _unfinished(self) -> list[Path]:
        """Checkpoints that a killed process left incomplete."""
        path = self._directory.path
        if not path.is_dir():
            return []
        return [child for child in path.iterdir() if _UNFINISHED.search(child.name)]

    def _full(self, free: int, need: int, newest: int | None) -> Diagnostic:
        outcome = "starts" if newest is None else f"resumes from step {newest}"
        return Diagnostic(
            str(self._directory.path),
            f"{human(free)} are free, and a checkpoint needs {human(need)}",
            expected="room for one more checkpoint, which is complete before an older "
            "one is removed",
            hint="Free disk space, or choose another output.dir; the same command then "
            f"{outcome}. {self._retention()}",
            code="disk-full",
        )

    def _short(self, free: int, need: int) -> Diagnostic:
        count = free // need
        return Diagnostic(
            str(self._directory.path),
            f"{human(free)} are free, room for {count} more "
            f"{'checkpoint' if count == 1 else 'checkpoints'} of {human(need)}",
            hint=f"Free disk space. {self._retention()}",
            code="disk-space",
        )

    def _retention(self) -> str:
        """Names the settings that decide how many checkpoints are kept."""
        policies = self._policies
        if not policies.keep:
            return (
                "All are kept (output.checkpoint.keep=0, in Python "
                "RunConfig.keep_checkpoint_max): a number bounds them."
            )
        kept = [
            f"the newest {policies.keep} (output.checkpoint.keep, in Python "
            "RunConfig.keep_checkpoint_max)"
        ]
        if policies.best is not None:
            kept.append(f"the best {policies.best.keep} (output.checkpoint.best.keep)")
        if policies.keep_every_steps is not None:
            kept.append(
                f"every multiple of {policies.keep_every_steps} "
                "(output.checkpoint.keep_every_steps)"
            )
        return f"Kept are {' and '.join(kept)}: fewer need less."


def bytes_of(state: Tree) -> int:
    """Number of bytes of all arrays of a state, as a checkpoint stores them.

    >>> import numpy as np
    >>> bytes_of({"params": {"w": np.zeros((3, 2), np.float32)}, "step": np.int64(1)})
    32
    """
    return sum(
        math.prod(getattr(leaf, "shape", ())) * _item_size(leaf)
        for _, leaf in leaves(state)
    )


def free_bytes(path: Path) -> int | None:
    """Bytes that this user can write to the disk of a path, which need not exist.

    Quotas count where the file system includes them in its free space.

    Returns:
        None if the file system does not report it.
    """
    for existing in (path, *path.parents):
        try:
            usage = shutil.disk_usage(existing)
        except FileNotFoundError:
            continue
        except OSError:
            return None  # The write itself reports it.
        # Some network file systems report no size at all.
        return usage.free if usage.total else None
    return None


def largest_file() -> int | None:
    """Size limit of the files that this process writes, in bytes; None: no limit."""
    try:
        import resource
    except ImportError:  # Windows has none.
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if limit == resource.RLIM_INFINITY else limit


def _item_size(leaf: Any) -> int:
    dtype = getattr(leaf, "dtype", None)
    return 8 if dtype is None else dtype.itemsize


def _size(path: Path) -> int:
    """Bytes of all files below a directory; files that vanish meanwhile count 0."""
    total = 0
    for file in path.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:
            continue
    return total


def _process_count() -> int:
    from specflow.distributed import collectives

    return collectives.process_count()


def _vanished(path: Path) -> Diagnostic:
    return Diagnostic(
        str(path),
        "has vanished while training was running",
        expected="the directory that training began to write",
        hint="Nothing was written in its place. Bring it back (mount its disk, restore "
        "it), and run the same command again to resume.",
        code="output-vanished",
    )


def _file_size_limit(
    directory: CheckpointDirectory, limit: int, need: int
) -> Diagnostic:
    return Diagnostic(
        str(directory.path),
        f"files of this process may have {human(limit)} (RLIMIT_FSIZE), and a "
        f"checkpoint has {human(need)}",
        expected="a limit that is no smaller than the largest file",
        hint="Raise it, with 'ulimit -f unlimited' or where the job scheduler sets it, "
        "and run the same command again.",
        code="file-size-limit",
    )
