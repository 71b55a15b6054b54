"""Retention: removes the checkpoints that no rule keeps."""

import contextlib
import math
import os
import time
from pathlib import Path

from specflow.config.sections.output import BestConfig
from specflow.diagnostics.errors import CheckpointError
from specflow.output.checkpoint.best_checkpoint import BestTracker
from specflow.output.checkpoint.checkpoint_directory import CheckpointDirectory
from specflow.output.checkpoint.checkpoint_tags import tags_of
from specflow.output.checkpoint.retention_rules import (
    BestSteps,
    MarkedSteps,
    MultiplesOf,
    Newest,
    NewestUndamaged,
    Policies,
    Rule,
    TaggedSteps,
)
from specflow.output.checkpoint.saved_arrays import (
    DamagedError,
    StoredArrays,
    saved_arrays,
)
from specflow.output.files import remove_tree
from specflow.output.json_values import JsonObject

__all__ = ["Retention", "quick_damage", "recorded_best", "recorded_policies"]

_DELETING = "deleting-"
"""Prefix of the name of a checkpoint that is being removed."""
_MARK = "kept"
"""File in a checkpoint that is the one of its period."""


class Retention:
    """Removes the checkpoints that need not be kept.

    The rules that decide are those of `reasons`, which also lists them.

    Args:
        directory: the checkpoints.
        policies: which checkpoints to keep. The first period of `keep_every_s` begins
            when the first `Retention` of the directory is created; later ones continue
            the periods on disk.
        tracker: ranks the checkpoints by `policies.best`.
    """

    def __init__(
        self,
        directory: CheckpointDirectory,
        policies: Policies,
        tracker: BestTracker | None = None,
    ):
        self._directory = directory
        self._policies = policies
        self._created_s = time.time()
        self._period_start_s: float | None = None
        self._saved_s: dict[int, float] = {}
        self._written: int | None = None
        self.rules: list[Rule] = [
            NewestUndamaged(self._is_damaged),
            Newest(policies.keep),
            MarkedSteps(lambda step: self._mark(step).exists()),
            TaggedSteps(lambda step: tags_of(directory.step_path(step))),
        ]
        """Each names the checkpoints that it keeps."""
        if policies.keep_every_steps:
            self.rules.append(MultiplesOf(policies.keep_every_steps))
        if tracker is not None:
            self.rules.append(BestSteps(tracker))

    def reasons(self) -> dict[int, list[str]]:
        """Step -> why it is kept, of every complete checkpoint; empty: no rule does."""
        steps = self._directory.steps()
        reasons: dict[int, list[str]] = {step: [] for step in steps}
        for rule in self.rules:
            for step, reason in rule.reasons(steps).items():
                reasons[step].append(reason)
        return reasons

    def remove_expired(self) -> None:
        """Removes every checkpoint that no rule keeps."""
        self._mark_periods()
        for step, reasons in self.reasons().items():
            if not reasons:
                self._remove(step)

    def note_complete(self, step: int) -> None:
        """Notes that this process has just written a checkpoint, so it is undamaged."""
        self._written = step

    def stamp(self, step: int) -> JsonObject:
        """Metadata with which later processes continue the rules.

        Args:
            step: of the checkpoint that is being saved.
        """
        preserved_s = self.period_start()
        self._saved_s[step] = time.time()
        return {
            "saved_s": self._saved_s[step],
            "preserved_s": preserved_s,
            "retention": self._policies.to_plain(),
        }

    def period_start(self) -> float:
        """Time (seconds since 1970) of the newest checkpoint that is kept permanently.

        If there is none, the time at which the first `Retention` was created. Every
        checkpoint records this time, and marker files have the time of their
        checkpoint. A time in the future, from a clock that was set back, counts as now.
        """
        if self._period_start_s is None:
            steps = self._directory.steps()
            markers = filter(Path.exists, map(self._mark, steps))
            times_s = [marker.stat().st_mtime for marker in markers]
            for step in reversed(steps):
                with contextlib.suppress(DamagedError, CheckpointError):
                    metadata = self._directory.metadata(step)
                    times_s.append(metadata.get("preserved_s", 0.0))
                    break
            newest_s = max(filter(None, times_s), default=self._created_s)
            self._period_start_s = min(newest_s, time.time())
        return self._period_start_s

    def _mark_periods(self) -> None:
        """Marks the first checkpoint of each period.

        Source of the rule: TensorFlow's `CheckpointManager`.
        """
        if math.isinf(self._policies.keep_every_s):
            return
        for step in self._directory.steps():
            marker = self._mark(step)
            if marker.exists():
                continue
            saved_s = self._time_of(step)
            if saved_s >= self.period_start() + self._policies.keep_every_s:
                marker.touch()
                os.utime(marker, (saved_s, saved_s))
                self._period_start_s = saved_s

    def _time_of(self, step: int) -> float:
        """Time at which a checkpoint was saved (seconds since 1970).

        Minus infinity for a damaged checkpoint, which stands for no period.
        """
        if step not in self._saved_s:
            try:
                saved_s = self._directory.metadata(step).get("saved_s", math.inf)
            except (DamagedError, CheckpointError):
                return -math.inf
            # A clock that was set back since, or a checkpoint without a time.
            on_disk_s = self._directory.step_path(step).stat().st_mtime
            self._saved_s[step] = min(saved_s, on_disk_s)
        return self._saved_s[step]

    def _remove(self, step: int) -> None:
        path = self._directory.step_path(step)
        # Renamed first: a partial checkpoint must never have a step's name.
        aside = path.rename(self._directory.path / f"{_DELETING}{step}")
        self.remove_unfinished(aside)

    def remove_unfinished(self, path: Path) -> None:
        """Removes an incomplete checkpoint, or one that is being deleted.

        One that another process tagged before it was renamed gets its name back.
        Another process may be removing the same files.
        """
        step = path.name.removeprefix(_DELETING)
        if step.isdigit() and tags_of(path):
            path.rename(self._directory.step_path(int(step)))
        else:
            remove_tree(path)

    def _mark(self, step: int) -> Path:
        return self._directory.step_path(step) / _MARK

    def _is_damaged(self, step: int) -> bool:
        return step != self._written and bool(quick_damage(self._directory, step))


def quick_damage(directory: CheckpointDirectory, step: int) -> str:
    """Checks the metadata of a checkpoint, and headers and sizes of its files.

    Returns:
        Why it is damaged, or of another format; empty if nothing was found.
    """
    try:
        saved = saved_arrays(directory.metadata(step))
        with StoredArrays(directory.step_path(step), saved):
            return ""
    except DamagedError as error:
        return str(error)
    except CheckpointError as error:
        return error.diagnostics[0].problem


def recorded_policies(directory: CheckpointDirectory) -> Policies:
    """Policies of the last process that saved a checkpoint; defaults if none did."""
    for step in reversed(directory.steps()):
        with contextlib.suppress(DamagedError, CheckpointError):
            return Policies.of(directory.metadata(step).get("retention", {}))
    return Policies()


def recorded_best(path: Path) -> BestConfig | None:
    """Criterion of the best checkpoint in a directory of checkpoints, if any."""
    return recorded_policies(CheckpointDirectory(path)).best
