"""Stops the gradient of rows that do not count: padding and weights of 0.

A product with a mask or a weight of 0 is not enough, as 0 times NaN is NaN: in the
loss, and again in the gradient, where the 0 is multiplied by a derivative that may be
infinite (of the root at 0, or of the exponential of a large number).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from specflow.runtime.typing import Tree, is_array, is_floating

__all__ = ["gated"]


def gated(tree: Tree, counted: Bool[Array, "b ..."]) -> Tree:
    """Returns the same values, with the gradient stopped where they do not count.

    Args:
        tree: arrays with the batch first; other leaves are unchanged.
        counted: True for rows, or values of rows, that count. For an array without the
            axes beyond the batch, a row counts if any of its values does.

    >>> def loss(x):
    ...     counted = jnp.array([True, False])
    ...     return jnp.where(counted, jnp.sqrt(gated(x, counted)), 0.0).sum()
    >>> jax.grad(loss)(jnp.array([4.0, 0.0])).tolist()
    [0.25, 0.0]
    """
    rows = counted.reshape(counted.shape[0], -1).any(axis=1)

    def gate(array: Array) -> Array:
        if not is_array(array) or not array.shape or not is_floating(array.dtype):
            return array
        if array.shape[: counted.ndim] == counted.shape:
            counts = counted
        elif array.shape[0] == rows.shape[0]:
            counts = rows
        else:
            return array
        counts = counts.reshape(counts.shape + (1,) * (array.ndim - counts.ndim))
        return jnp.where(counts, array, jax.lax.stop_gradient(array))

    return jax.tree.map(gate, tree)
