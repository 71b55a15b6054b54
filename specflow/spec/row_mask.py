"""Rows that do not count: neither their loss nor its derivative has a part in training.

A product with a mask or a weight of 0 is not enough, as 0 times NaN is NaN: in the
loss, and once more in the gradient, where the 0 meets the derivative of a row that may
have none (the root of 0, the exponential of a large number).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from specflow.runtime.typing import Tree, is_array, is_floating

__all__ = ["gated"]


def gated(tree: Tree, counted: Bool[Array, "b ..."]) -> Tree:
    """The same values, of which those that do not count pass no gradient on.

    Args:
        tree: arrays, rows first; others are left as they are.
        counted: which rows count, or which values of each row: an array that has no
            such axes counts where any value of its row does.

    >>> def loss(x):
    ...     counted = jnp.array([True, False])
    ...     return jnp.where(counted, jnp.sqrt(gated(x, counted)), 0.0).sum()
    >>> jax.grad(loss)(jnp.array([4.0, 0.0])).tolist()
    [0.25, 0.0]
    """
    rows = counted.reshape(counted.shape[0], -1).any(axis=1)

    def one(array: Array) -> Array:
        if not is_array(array) or not array.shape or not is_floating(array.dtype):
            return array
        if array.shape[: counted.ndim] == counted.shape:
            chosen = counted
        elif array.shape[0] == rows.shape[0]:
            chosen = rows
        else:
            return array
        chosen = chosen.reshape(chosen.shape + (1,) * (array.ndim - chosen.ndim))
        return jnp.where(chosen, array, jax.lax.stop_gradient(array))

    return jax.tree.map(one, tree)
