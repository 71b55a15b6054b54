"""Placement of batches: host rows of each process as arrays sharded over the mesh."""

from typing import Any

import jax
import numpy as np

from specflow.executor.array_types import Array, Features, Tree
from specflow.mesh import Partitioner, batch_parts

__all__ = ["BatchPlacement"]


class BatchPlacement:
    """Puts host batches on the mesh, sharded by row.

    A batch whose rows do not divide evenly over the mesh is replicated.

    Args:
        partitioner: the mesh and its shardings.
    """

    def __init__(self, partitioner: Partitioner):
        self.partitioner = partitioner

    def put(self, batch: Tree, *, axis: int = 0) -> Tree:
        """Makes global arrays of this process's host rows.

        Args:
            batch: arrays on the host.
            axis: the batch axis; 1 for stacked batches `[steps, batch, ...]`.
        """
        rows, replicated = self.partitioner.rows(axis), self.partitioner.replicated
        parts = batch_parts(self.partitioner.mesh)
        if jax.process_count() == 1:
            return jax.tree.map(
                lambda array: jax.device_put(
                    array, replicated if array.shape[axis] % parts else rows
                ),
                batch,
            )
        return jax.tree.map(lambda array: self._global_array(array, axis), batch)

    def _global_array(self, array: Array, axis: int) -> jax.Array:
        """Makes a global array of the rows of all processes."""
        local_rows = self.partitioner.local_rows(array.shape[axis])
        local_parts, part_count = self.partitioner.local_parts
        shape = list(array.shape)
        shape[axis] = shape[axis] // len(local_parts) * part_count
        divides = shape[axis] % batch_parts(self.partitioner.mesh) == 0
        sharding = (
            self.partitioner.rows(axis) if divides else self.partitioner.replicated
        )
        leading = (slice(None),) * axis

        def shard(index: Any) -> Array:
            start, stop, _ = index[axis].indices(shape[axis])
            first = int(np.searchsorted(local_rows, start))
            return array[(*leading, slice(first, first + stop - start))]

        return jax.make_array_from_callback(tuple(shape), sharding, shard)

    def feed(self, batch: Tree) -> Tree:
        """Places one batch as evaluation and prediction take it.

        A single device reads host arrays in place, which is faster than making device
        arrays; they must not change until the results have arrived.
        """
        return batch if self.is_single_device else self.put(batch)

    @property
    def is_single_device(self) -> bool:
        """Returns whether the mesh is one device of one process."""
        return self.partitioner.mesh.size == 1 and jax.process_count() == 1

    def abstract(self, batch: Features, steps: int | None = None) -> Tree:
        """Shapes, dtypes and shardings of a batch as `put` places it.

        Args:
            batch: one batch, or `jax.ShapeDtypeStruct`s of one.
            steps: number of stacked batches; None: one batch, not stacked.
        """
        stack, axis = ((), 0) if steps is None else ((steps,), 1)
        rows, replicated = self.partitioner.rows(axis), self.partitioner.replicated
        parts = batch_parts(self.partitioner.mesh)
        return jax.tree.map(
            lambda array: jax.ShapeDtypeStruct(
                (*stack, *array.shape),
                jax.dtypes.canonicalize_dtype(array.dtype),
                sharding=replicated if array.shape[0] % parts else rows,
            ),
            batch,
        )
