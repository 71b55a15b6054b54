"""From devices to the host: the rows of every shard, joined in order, padding gone."""

from typing import Any

import jax

__all__ = ["first_rows", "to_host"]


def to_host(tree: Any) -> Any:
    """The arrays of a tree on this host, whole, as NumPy.

    One replica of each shard is taken, by its index, over all processes: on a mesh that
    also has axes for the model, every shard of the batch is there several times.
    """
    if jax.process_count() == 1:
        return jax.device_get(tree)
    from jax.experimental import multihost_utils  # Needed by many processes only.

    return multihost_utils.process_allgather(tree, tiled=True)


def first_rows(tree: Any, rows: int) -> Any:
    """The first `rows` rows of every array of a tree.

    Args:
        tree: batch-major arrays of one batch on the host, real rows first.
        rows: how many are real.
    """
    return jax.tree.map(lambda array: array[:rows], tree)
