"""Copies of sharded arrays to the host, without the padding rows."""

import jax
import numpy as np

from specflow.executor.array_types import Mask, RowIndices, Tree

__all__ = ["first_rows", "real_rows", "to_host"]


def to_host(tree: Tree) -> Tree:
    """Copies the global arrays of a tree to this host, as NumPy arrays.

    Takes one replica of each shard, by index, over all processes: on a mesh with model
    axes every shard of the batch is replicated.
    """
    if jax.process_count() == 1:
        return jax.device_get(tree)
    from jax.experimental import multihost_utils  # For several processes only.

    return multihost_utils.process_allgather(tree, tiled=True)


def real_rows(mask: Mask, rows: int) -> RowIndices:
    """Returns which rows of a global batch are real and not padding.

    Args:
        mask: bool[batch], as fed to a program.
        rows: number of real rows of this process, which precede its padding.

    Returns:
        With one process the number of real rows, which come first; else their indices.
    """
    if jax.process_count() == 1:
        return rows
    return np.flatnonzero(to_host(mask))


def first_rows(tree: Tree, rows: RowIndices) -> Tree:
    """Selects the real rows of every array of a tree.

    Args:
        tree: batch-major arrays of one batch on the host.
        rows: from `real_rows`.
    """
    chosen = slice(rows) if isinstance(rows, int) else rows
    return jax.tree.map(lambda array: array[chosen], tree)
