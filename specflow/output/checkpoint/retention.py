"""Retention of checkpoints: the newest, the best, and one of each period."""

import contextlib
import math
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from specflow.output.checkpoint.archive import DamagedError
from specflow.output.checkpoint.best_checkpoint import BestTracker
from specflow.output.checkpoint.checkpoint_directory import CheckpointDirectory

__all__ = ["Retention", "kept_steps"]


class Retention:
    """Removes the checkpoints that need not be kept.

    Args:
        directory: the checkpoints.
        keep: number of newest checkpoints to keep; 0 keeps all.
        tracker: ranks the checkpoints; the best one is kept whatever its age. If None,
            no checkpoint is kept as the best.
        keep_every_s: keeps one checkpoint per period of this length (seconds)
            permanently. The first period begins when the first `Retention` of the
            directory is created; later ones continue the periods on disk.
    """

    def __init__(
        self,
        directory: CheckpointDirectory,
        *,
        keep: int = 3,
        tracker: BestTracker | None = None,
        keep_every_s: float = math.inf,
    ):
        self._directory = directory
        self._keep = keep
        self._tracker = tracker
        self._keep_every_s = keep_every_s
        self._created_s = time.time()
        self._period_start_s: float | None = None

    def remove_expired(self) -> None:
        """Removes every checkpoint that no rule keeps."""
        steps = self._directory.steps()
        best = None if self._tracker is None else self._tracker.best(steps)
        best_step = None if best is None else best.step
        kept = kept_steps(steps, keep=self._keep, best=best_step)
        for step in steps:
            path = self._directory.step_path(step)
            if step not in kept and not self._is_kept_permanently(path):
                # Renamed first: a partial checkpoint must never have a step's name.
                shutil.rmtree(path.rename(self._directory.path / f"deleting-{step}"))

    def period_start(self) -> float:
        """Time (seconds since 1970) of the newest checkpoint that is kept permanently.

        If there is none, the time at which the first `Retention` was created. Every
        checkpoint records this time, and marker files have the time of their
        checkpoint. A time in the future, from a clock that was set back, counts as now.
        """
        if self._period_start_s is None:
            steps = self._directory.steps()
            markers = [self._directory.step_path(step) / "kept" for step in steps]
            times_s = [marker.stat().st_mtime for marker in markers if marker.exists()]
            with contextlib.suppress(DamagedError, IndexError):
                metadata = self._directory.metadata(steps[-1])
                times_s.append(metadata.get("preserved_s", 0.0))
            newest_s = max(filter(None, times_s), default=self._created_s)
            self._period_start_s = min(newest_s, time.time())
        return self._period_start_s

    def _is_kept_permanently(self, path: Path) -> bool:
        """Returns whether a checkpoint is the kept one of its period; marks it if so.

        Source of the rule: TensorFlow's `CheckpointManager`.
        """
        marker, saved_s = path / "kept", path.stat().st_mtime
        if not marker.exists() and saved_s >= self.period_start() + self._keep_every_s:
            marker.touch()
            os.utime(marker, (saved_s, saved_s))
            self._period_start_s = saved_s
        return marker.exists()


def kept_steps(
    steps: Sequence[int], *, keep: int, best: int | None = None
) -> frozenset[int]:
    """The newest `keep` steps (0: all of them), and the best one whatever its age.

    >>> sorted(kept_steps([10, 20, 30, 40], keep=2, best=10))
    [10, 30, 40]
    """
    newest = sorted(steps)[-keep:] if keep else steps
    return frozenset(newest) | {step for step in steps if step == best}
