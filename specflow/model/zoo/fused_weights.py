"""Sharding of attention heads for kernels, which the partitioner cannot shard."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from specflow.model.logical_axes import layout

__all__ = ["Shares", "shares"]

Axes = tuple[str, ...] | None
"""Mesh axes over which a dimension is sharded; None: it is not."""


class Shares(NamedTuple):
    """Heads and their sharding."""

    query: Float[Array, "b t h d"]
    key: Float[Array, "b t k d"]
    value: Float[Array, "b t k d"]
    over_batch: Axes
    over_heads: Axes
    """For queries, keys and values."""


def shares(
    query: Float[Array, "b t h d"],
    key: Float[Array, "b t k d"],
    value: Float[Array, "b t k d"],
) -> Shares:
    """Shards sequences and heads over the ambient mesh; sequences are never split.

    By the logical axes `batch` and `heads`, also if `length` is sharded. A batch that
    the devices do not divide, such as the last one, is replicated. Key heads that are
    fewer than the devices are repeated, so that each device has those of its query
    heads.

    Args:
        query: one vector per token and head.
        key: likewise, with as many heads or a divisor of them.
        value: like `key`.
    """
    b, _, heads, _ = query.shape
    over_batch, over_heads = _axes((b, heads), "heads")
    if over_heads != _axes((b, key.shape[2]), "kv_heads")[1]:
        key, value = (jnp.repeat(x, heads // x.shape[2], axis=2) for x in (key, value))
    return Shares(query, key, value, over_batch, over_heads)


def _axes(shape: tuple[int, int], heads: str) -> tuple[Axes, Axes]:
    """Mesh axes of the batch and of the heads."""

    def axes(found: Any) -> Axes:
        if found is None or found is PartitionSpec.UNCONSTRAINED:
            return None
        return (found,) if isinstance(found, str) else found

    batch, over = layout(shape, ("batch", heads)) or (None, None)
    return axes(batch), axes(over)
