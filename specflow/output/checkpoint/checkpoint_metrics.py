"""Evaluation metrics of checkpoints, also of one that is still being written."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from specflow.distributed import collectives
from specflow.output.checkpoint.best_checkpoint import Best, BestTracker
from specflow.output.checkpoint.checkpoint_directory import CheckpointDirectory
from specflow.output.checkpoint.checkpoint_writer import CheckpointWriter
from specflow.output.checkpoint.retention import Retention
from specflow.output.checkpoint.saved_arrays import DamagedError
from specflow.output.json_values import JsonObject, to_plain

__all__ = ["CheckpointMetrics"]


class CheckpointMetrics:
    """Adds metrics to checkpoints, and ranks the checkpoints by one of them.

    Args:
        directory: the checkpoints.
        writer: writes them.
        retention: removes checkpoints when metrics change what is kept.
        tracker: ranks the checkpoints; None: none is the best.
        wait: waits until the running save is on disk, and raises its error.
    """

    def __init__(
        self,
        directory: CheckpointDirectory,
        writer: CheckpointWriter,
        retention: Retention,
        tracker: BestTracker | None,
        wait: Callable[[], None],
    ):
        self._directory, self._writer = directory, writer
        self._retention, self.tracker = retention, tracker
        self._wait = wait
        self._pending: JsonObject | None = None
        """Metrics of the save that is being written, or of the last one."""

    def begin(self, step: int, metrics: JsonObject | None) -> None:
        """Notes the metrics of a checkpoint before it is written."""
        self._pending = metrics
        if self.tracker is not None:
            self.tracker.record(step, metrics)

    def forget(self, step: int | None) -> None:
        """Drops the metrics of a checkpoint that was not written; None: of none."""
        if self.tracker is not None and step is not None:
            self.tracker.forget(step)

    def is_new_best(self, metrics: Mapping[str, Any]) -> bool:
        """Returns whether a state with these metrics is among the best."""
        tracker = self.tracker
        return tracker is not None and collectives.on_process_zero(
            lambda: tracker.is_new_best(metrics, self._known_steps(tracker))
        )

    def best(self) -> Best | None:
        """The best checkpoint; None if none is."""
        tracker = self.tracker
        if tracker is None:
            return None
        self._wait()
        best = collectives.on_process_zero(
            lambda: tracker.best(self._directory.steps())
        )
        # Other processes receive a list.
        return None if best is None else Best(*best)

    def add(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Adds metrics to the checkpoint of a step, if there is one."""

        def write_metrics() -> None:
            plain = to_plain(metrics)
            if step == self._writer.pending_step:
                if plain == self._pending:
                    return
            elif step not in self._directory.steps():
                return
            self._wait()
            with contextlib.suppress(DamagedError):
                if self._directory.metadata(step)["metrics"] != plain:
                    path = self._directory.step_path(step)
                    self._directory.archive.update_metadata(path, metrics=plain)
                    if self.tracker is not None:
                        self.tracker.record(step, plain)
                    self._retention.remove_expired()

        collectives.on_process_zero(write_metrics)

    def _known_steps(self, tracker: BestTracker) -> list[int]:
        """Steps of all checkpoints, and of a running save that need not be read."""
        pending = self._writer.pending_step
        if pending is not None and self._writer.is_running():
            steps = sorted({*self._directory.steps(), pending})
            # A save that may supersede checkpoints changes which ones count.
            if tracker.knows(steps) and not self._writer.may_supersede:
                return steps
        self._wait()
        return self._directory.steps()
