"""Rows of a table by number: their gradient is summed in the table's own type.

The gradient of a lookup is, for each row, a sum over all places that used it. In
bfloat16 such a sum stops growing at some 256 times its terms: a token that occurs 4,000
times in a batch loses half of its gradient or more. So rows are taken from the float32
table and cast then, never the other way round; the values are the same.
"""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

__all__ = ["Embed", "look_up"]


def look_up(
    table: Float[Array, "c d"], ids: Int[Array, "..."], dtype: DTypeLike
) -> Float[Array, "... d"]:
    """Rows of a table, in a type of their own.

    Args:
        table: c rows.
        ids: numbers of rows, in [0, c).
        dtype: type of the result; the gradient of the table is summed in the table's.

    >>> look_up(jnp.eye(2), jnp.array([1, 1, 0]), jnp.bfloat16).dtype
    dtype(bfloat16)
    """
    return jnp.take(table, ids, axis=0).astype(dtype)


class Embed(nnx.Embed):
    """Flax's embedding, whose `dtype` is that of the result and of `attend`."""

    def __call__(self, inputs: Int[Array, "..."]) -> Float[Array, "... d"]:  # type: ignore[override]
        """The vectors of tokens."""
        return look_up(self.embedding[...], inputs, self.dtype)
