"""What each device of a mesh attends to: the partitioner cannot look into a kernel."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from specflow.model.logical_axes import layout

__all__ = ["Shares", "shares"]

Axes = tuple[str, ...] | None
"""Axes of the mesh that a dimension is cut along; None: it is not."""


class Shares(NamedTuple):
    """Heads, and how a mesh shares them out."""

    query: Float[Array, "b t h d"]
    key: Float[Array, "b t k d"]
    value: Float[Array, "b t k d"]
    over_batch: Axes
    over_heads: Axes
    """Of queries, keys and values alike."""


def shares(
    query: Float[Array, "b t h d"],
    key: Float[Array, "b t k d"],
    value: Float[Array, "b t k d"],
) -> Shares:
    """Sequences and heads for each device of the ambient mesh, whole sequences always.

    The logical axes `batch` and `heads` say which, also where `length` is cut.
    Sequences that the devices do not divide, as the last of a set may be, are every
    device's. Key heads that are too few for the devices are repeated, so that each
    device has those of its own query heads.

    Args:
        query: one vector a token and head.
        key: likewise, of as many heads or of a divisor of them.
        value: as `key`.
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
