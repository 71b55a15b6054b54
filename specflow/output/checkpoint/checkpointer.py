"""Checkpoints of a training state, saved in the background and verified on restore."""

import contextlib
import json
import math
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from specflow.config.sections.output import BestConfig
from specflow.diagnostics.errors import CheckpointError
from specflow.distributed import collectives
from specflow.output.checkpoint.best_checkpoint import Best, BestTracker
from specflow.output.checkpoint.checkpoint_directory import CheckpointDirectory
from specflow.output.checkpoint.checkpoint_metrics import CheckpointMetrics
from specflow.output.checkpoint.checkpoint_reader import CheckpointReader, Restored
from specflow.output.checkpoint.checkpoint_writer import CheckpointWriter
from specflow.output.checkpoint.disk_space import DiskSpace
from specflow.output.checkpoint.retention import Retention
from specflow.output.checkpoint.retention_rules import Policies
from specflow.output.checkpoint.saved_arrays import SavedArray
from specflow.output.checkpoint.step_choice import CheckpointStep, chosen_step
from specflow.output.json_values import JsonObject, to_plain
from specflow.runtime.filesystem import expanded
from specflow.runtime.typing import Tree

__all__ = ["Checkpointer"]


class Checkpointer(contextlib.AbstractContextManager["Checkpointer"]):
    """Saves and restores a training state without blocking training.

    `save` copies the state to the host and returns; a thread writes it. Several
    processes make the same calls and write together, each its shards. A checkpoint has
    its final name, `<directory>/<step>`, only when it is complete: a process that is
    killed earlier leaves the earlier checkpoints unchanged. Each array has a digest;
    damaged checkpoints are skipped. Checkpoints newer than the step that training
    resumed from are moved to `<directory>/superseded`.

    Args:
        directory: `checkpoints/` of a run.
        keep: number of newest checkpoints to keep; 0 keeps all.
        keep_every_steps: keeps every step that is a multiple of it permanently.
        best: keep the best checkpoints as well, by the metrics of `save` and
            `add_metrics`.
        keep_every_s: keeps one checkpoint per period of this length (seconds)
            permanently. The first period begins when the first `Checkpointer` of the
            directory is created; later ones continue the periods on disk.
        on_warning: called with one line for each damaged checkpoint. If None, the line
            is printed to standard error.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        keep: int = 3,
        keep_every_steps: int | None = None,
        best: BestConfig | None = None,
        keep_every_s: float = math.inf,
        on_warning: Callable[[str], None] | None = None,
    ):
        # Absolute: the process may change its working directory.
        self.directory = expanded(directory).absolute()
        self._on_disk = CheckpointDirectory(self.directory)
        tracker = None if best is None else BestTracker(self._on_disk, best)
        times = {"keep_every_steps": keep_every_steps, "keep_every_s": keep_every_s}
        policies = Policies(keep=keep, best=best, **times)  # type: ignore[arg-type]
        self.space = DiskSpace(self._on_disk, policies)
        self._retention = Retention(self._on_disk, policies, tracker)
        self._reader = CheckpointReader(self._on_disk)
        self._writer = CheckpointWriter(self._on_disk, self._retention)
        self.before_complete = self._writer.before_complete
        self._metrics = CheckpointMetrics(
            self._on_disk, self._writer, self._retention, tracker, self.wait
        )
        self._on_warning = on_warning or _to_stderr

    def steps(self) -> list[int]:
        """Steps with a complete checkpoint, ascending; does not load JAX.

        Several processes wait for the running save, so that all get the same steps.
        """
        if self._writer.is_joint:
            self.wait()
        return self._on_disk.steps()

    def remove_unfinished(self) -> None:
        """Removes what a killed process left incomplete; each save does so too.

        Raises:
            OutputError: a file cannot be removed.
        """
        self._writer.remove_unfinished()

    def latest_step(self) -> int | None:
        """The newest complete checkpoint, damaged or not; does not load JAX."""
        return max(self.steps(), default=None)

    def save(
        self,
        step: int,
        state: Tree,
        *,
        data: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        """Begins to save; the state may be donated as soon as this returns.

        A step that this `Checkpointer` has saved or restored is not written again.

        Args:
            step: training steps done.
            state: nested dicts of arrays.
            data: states of the parts of a run on the host, as JSON values by name.
            metrics: metrics of an evaluation at this step, which rank the checkpoint.

        Raises:
            OutputError: the previous save failed, or there is no room for this one.
        """
        self.wait()
        if self._writer.is_complete(step):
            return
        snapshot = self._writer.take(state)
        collectives.on_process_zero(lambda: self.space.check(snapshot.layout.nbytes))
        plain = to_plain(metrics)
        metadata = {
            "step": step,
            # A copy that later calls of the iterator cannot change.
            "data": json.loads(json.dumps(dict(data or {}))),
            "metrics": plain,
        }
        self._metrics.begin(step, plain)
        self._writer.start(step, snapshot, metadata)

    def wait(self) -> None:
        """Waits until the running save is on disk.

        Raises:
            OutputError: it failed; earlier checkpoints are unchanged.
        """
        pending = self._writer.pending_step
        try:
            self._writer.wait()
        except BaseException:
            self._metrics.forget(pending)
            raise

    def abandon_pending_save(self) -> None:
        """Abandons the pending save if other processes do not finish it in time.

        For a failed computation, after which a process may be gone.
        """
        pending = self._writer.pending_step
        self._writer.abandon_pending_save()
        if pending is not None and not self._writer.is_complete(pending):
            self._metrics.forget(pending)

    def close(self) -> None:
        """Waits for the running save and releases the thread.

        Raises:
            OutputError: the running save failed.
        """
        try:
            self.wait()
        finally:
            self._writer.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def is_new_best(self, metrics: Mapping[str, Any]) -> bool:
        """Returns whether a state with these metrics is among the best, `best.keep`.

        Does not wait for a running save if the metrics of all checkpoints are in
        memory: the save counts as complete.

        Raises:
            OutputError: a save that has ended, or that had to be waited for, failed.
        """
        return self._metrics.is_new_best(metrics)

    def best(self) -> Best | None:
        """The best checkpoint.

        None if there is no ranking metric or no checkpoint has been evaluated.

        Raises:
            OutputError: the running save failed.
        """
        return self._metrics.best()

    def resolve(self, step: CheckpointStep) -> int | None:
        """Step of the checkpoint that a user names; see `chosen_step`."""
        if isinstance(step, str) and step != "latest":
            self.wait()
            return collectives.on_process_zero(
                lambda: chosen_step(self._on_disk, step, self._metrics.tracker)
            )
        return chosen_step(self._on_disk, step, self._metrics.tracker)

    def add_metrics(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Adds evaluation metrics to the checkpoint of their step, if there is one.

        For an evaluation after the save. Waits for a running save only if the
        checkpoint has to be read or changed.

        Raises:
            OutputError: it cannot be written, or the running save failed.
        """
        self._metrics.add(step, metrics)

    def update_data(self, step: int, **values: Any) -> None:
        """Replaces some of the `data` in the checkpoint of a step, if there is one.

        Raises:
            OutputError: it cannot be written, or the running save failed.
        """
        self.wait()
        collectives.on_process_zero(lambda: self._on_disk.update_data(step, values))

    def newest_place(self) -> tuple[int, JsonObject | None]:
        """Step of the newest readable checkpoint, and its place in the training input.

        Returns:
            (0, None) if there is none; None for the place if the checkpoint has none.
        """
        for step in reversed(self.steps()):
            with contextlib.suppress(CheckpointError):
                place = self.data_position(step).get("input")
                return step, place if isinstance(place, dict) else None
        return 0, None

    def data_position(self, step: int) -> JsonObject:
        """Data position saved at a step; reads no arrays.

        Raises:
            CheckpointError: there is no such checkpoint, or it is damaged.
        """
        self.wait()
        return self._reader.data_position(step, self.steps())

    def arrays(
        self, step: int | None = None, names: Collection[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Arrays of a checkpoint on the host, by `part/name`.

        Args:
            step: the checkpoint to read. If None, the newest.
            names: of the arrays to read. If None, all.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        self.wait()
        return self._reader.arrays(step, self.steps(), names)

    def saved(self, step: int | None = None) -> dict[str, SavedArray]:
        """Shape, dtype and digest of each array of a checkpoint, by `part/name`.

        Args:
            step: the checkpoint to read. If None, the newest undamaged one.

        Returns:
            An empty dict if there is none: `restore` reports that.
        """
        self.wait()
        return self._reader.saved(self.steps() if step is None else [step])

    def restore(
        self, abstract: Tree, *, step: int | None = None, partial: bool = False
    ) -> Restored:
        """Restores a checkpoint onto the devices that `abstract` names.

        Args:
            abstract: `jax.ShapeDtypeStruct` leaves with the shardings wanted now; the
                mesh it was saved on does not matter.
            step: the checkpoint to read. If None, the newest undamaged one.
            partial: restore only the parts, by first key, that `abstract` has:
                evaluation does not need the optimizer's state.

        Raises:
            CheckpointError: there is none, it is damaged, or it is of another model.
            OutputError: the running save failed.
        """
        self.wait()
        restored, skipped = self._reader.restore(
            abstract, step, self.steps(), partial=partial
        )
        for damaged_step, why in skipped:
            self._on_warning(
                f"checkpoint of step {damaged_step} is damaged ({why}); resuming from "
                f"step {restored.step}"
            )
        self._writer.resume_from(restored.step)
        return restored

    def check(self, abstract: Tree) -> None:
        """Checks that `restore` would find the arrays of a state; reads none.

        Raises:
            CheckpointError: the newest undamaged checkpoint is of another model.
        """
        self._reader.check(abstract, self.steps())


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
