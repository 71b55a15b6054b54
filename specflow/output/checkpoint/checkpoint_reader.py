"""Restoring a training state from a checkpoint, on any mesh."""

import dataclasses
from collections.abc import Collection

import numpy as np

from specflow.diagnostics.errors import CheckpointError
from specflow.output.checkpoint import checkpoint_errors
from specflow.output.checkpoint.checkpoint_directory import CheckpointDirectory
from specflow.output.checkpoint.saved_arrays import (
    DamagedError,
    SavedArray,
    saved_arrays,
)
from specflow.output.checkpoint.snapshot import differences
from specflow.output.checkpoint.state_layout import flat
from specflow.output.json_values import JsonObject
from specflow.runtime.typing import Tree

__all__ = ["CheckpointReader", "Restored"]


@dataclasses.dataclass(frozen=True, slots=True)
class Restored:
    """A training state restored from a checkpoint."""

    step: int
    state: Tree
    """Arrays, with the shardings of the abstract state."""
    data: JsonObject
    """Data position saved with them."""


class CheckpointReader:
    """Reads the checkpoints of a directory, each array verified by its digest.

    Args:
        directory: the checkpoints.
    """

    def __init__(self, directory: CheckpointDirectory):
        self._directory = directory

    def data_position(self, step: int, steps: list[int]) -> JsonObject:
        """Data position of a step, without its arrays.

        Args:
            step: the checkpoint to read.
            steps: those that exist.

        Raises:
            CheckpointError: there is no such checkpoint, or it is damaged.
        """
        if step not in steps:
            raise self._missing(step, steps)
        try:
            return self._directory.metadata(step)["data"]
        except DamagedError as error:
            raise self._damaged(step, error) from error

    def arrays(
        self,
        step: int | None,
        steps: list[int],
        names: Collection[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Arrays of a checkpoint on the host, by `part/name`.

        Args:
            step: the checkpoint to read. If None, the newest.
            steps: those that exist.
            names: the arrays to read. If None, all.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        chosen = max(steps, default=None) if step is None else step
        if chosen is None or chosen not in steps:
            raise self._missing(step, steps)
        path = self._directory.step_path(chosen)
        try:
            saved = saved_arrays(self._directory.metadata(chosen))
            return self._directory.archive.arrays(path, saved, names)
        except DamagedError as error:
            raise self._damaged(chosen, error) from error

    def saved(self, steps: list[int]) -> dict[str, SavedArray]:
        """Shape, dtype and digest of each array of the newest undamaged checkpoint.

        Args:
            steps: candidates, ascending.

        Returns:
            An empty dict if all are damaged: `restore` reports that.
        """
        for step in reversed(steps):
            try:
                return saved_arrays(self._directory.metadata(step))
            except DamagedError:
                continue
        return {}

    def check(self, abstract: Tree, steps: list[int]) -> None:
        """Compares the newest undamaged checkpoint with a state; reads no arrays.

        Args:
            abstract: the state that `restore` would be given.
            steps: candidates, ascending.

        Raises:
            CheckpointError: the checkpoint is of another model.
        """
        for step in reversed(steps):
            try:
                saved = saved_arrays(self._directory.metadata(step))
            except DamagedError:
                continue  # `restore` reports it, and falls back as well.
            self._check(step, saved, abstract, partial=False)
            return

    def restore(
        self, abstract: Tree, step: int | None, steps: list[int], *, partial: bool
    ) -> tuple[Restored, list[tuple[int, str]]]:
        """Restores a checkpoint; falls back to the one before a damaged one.

        Args:
            abstract: `jax.ShapeDtypeStruct` leaves with the shardings wanted now.
            step: the checkpoint to read. If None, the newest undamaged one.
            steps: those that exist, ascending.
            partial: restore only the parts, by first key, that `abstract` has.

        Returns:
            (the restored state, (step, reason) of each damaged checkpoint passed over).

        Raises:
            CheckpointError: there is none, all are damaged, or it is of another model.
        """
        if not steps or (step is not None and step not in steps):
            raise self._missing(step, steps)
        skipped: list[tuple[int, str]] = []
        for candidate in reversed(steps) if step is None else [step]:
            try:
                return self._restore(candidate, abstract, partial=partial), skipped
            except DamagedError as error:
                skipped.append((candidate, str(error)))
        raise CheckpointError(
            *(
                checkpoint_errors.damaged(
                    self._directory.step_path(damaged_step),
                    why,
                    others=() if step is None else self._others(damaged_step),
                )
                for damaged_step, why in skipped
            )
        )

    def _restore(self, step: int, abstract: Tree, *, partial: bool) -> Restored:
        import jax

        # Loads JAX, which listing checkpoints should not.
        from specflow.output.checkpoint.device_arrays import read_onto_devices

        path = self._directory.step_path(step)
        metadata = self._directory.metadata(step)
        saved = saved_arrays(metadata)
        wanted = flat(abstract)
        self._check(step, saved, abstract, partial=partial)
        arrays = read_onto_devices(path, saved, wanted)
        structure = jax.tree.structure(abstract)
        state = jax.tree.unflatten(structure, [arrays[name] for name in wanted])
        return Restored(step, state, metadata["data"])

    def _check(
        self,
        step: int,
        saved: dict[str, SavedArray],
        abstract: Tree,
        *,
        partial: bool,
    ) -> None:
        """Compares the arrays of a checkpoint with a state.

        Raises:
            CheckpointError: some are missing, unexpected, or of another shape or dtype.
        """
        if partial:
            parts = tuple(f"{part}/" for part in abstract)
            saved = {name: a for name, a in saved.items() if name.startswith(parts)}
        if different := differences(saved, flat(abstract)):
            path = self._directory.step_path(step)
            raise CheckpointError(
                *checkpoint_errors.mismatched(path, different, len(saved))
            )

    def _missing(self, step: int | None, steps: list[int]) -> CheckpointError:
        return CheckpointError(
            checkpoint_errors.missing(self._directory.path, step, steps)
        )

    def _damaged(self, step: int, error: DamagedError) -> CheckpointError:
        path = self._directory.step_path(step)
        return CheckpointError(
            checkpoint_errors.damaged(path, str(error), others=self._others(step))
        )

    def _others(self, step: int) -> list[int]:
        return [other for other in self._directory.steps() if other != step]
