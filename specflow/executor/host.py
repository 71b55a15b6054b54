"""From devices to the host: the rows of every shard, joined in order, padding gone."""

from typing import Any

import jax
import numpy as np

__all__ = ["to_host", "to_rows"]


def to_host(tree: Any) -> Any:
    """The arrays of a tree on this host, whole, as NumPy.

    One replica of each shard is taken, by its index, over all processes: on a mesh that
    also has axes for the model, every shard of the batch is there several times.
    """
    if jax.process_count() == 1:
        return jax.device_get(tree)
    from jax.experimental import multihost_utils  # Needed by many processes only.

    return multihost_utils.process_allgather(tree, tiled=True)


def to_rows(tree: Any, rows: int) -> Any:
    """The first `rows` rows of every array of a tree, on the host.

    Args:
        tree: batch-major arrays of one batch, real rows first.
        rows: how many are real.
    """
    return jax.tree.map(lambda array: np.asarray(array)[:rows], to_host(tree))
