"""From devices to the host: the rows of every shard, joined in order, padding gone."""

from typing import Any

import jax
import numpy as np

__all__ = ["first_rows", "real_rows", "to_host"]


def to_host(tree: Any) -> Any:
    """The arrays of a tree on this host, whole, as NumPy.

    One replica of each shard is taken, by its index, over all processes: on a mesh that
    also has axes for the model, every shard of the batch is there several times.
    """
    if jax.process_count() == 1:
        return jax.device_get(tree)
    from jax.experimental import multihost_utils  # Needed by many processes only.

    return multihost_utils.process_allgather(tree, tiled=True)


def real_rows(mask: Any, rows: int) -> Any:
    """Which rows of a batch are real: how many of the first, or the places of all.

    Args:
        mask: of the batch, as it was fed to a program.
        rows: real rows of this process, which come first in its part.
    """
    if jax.process_count() == 1:
        return rows
    return np.flatnonzero(to_host(mask))


def first_rows(tree: Any, rows: Any) -> Any:
    """The real rows of every array of a tree.

    Args:
        tree: batch-major arrays of one batch on the host.
        rows: how many are real, where these are the first; else their places.
    """
    chosen = slice(rows) if isinstance(rows, int) else rows
    return jax.tree.map(lambda array: array[chosen], tree)
