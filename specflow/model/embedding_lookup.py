"""Embedding lookups whose gradient is accumulated in the table's dtype.

The gradient of a row is the sum over all positions that used it. In bfloat16 such a sum
stops growing at about 256 times its terms: a token that occurs 4,000 times in a batch
loses half of its gradient or more. Rows are therefore looked up in the float32 table
and cast afterwards; the values are the same.
"""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

__all__ = ["Embed", "look_up"]


def look_up(
    table: Float[Array, "c d"], ids: Int[Array, "..."], dtype: DTypeLike
) -> Float[Array, "... d"]:
    """Looks up rows of a table, and casts them.

    Args:
        table: c rows.
        ids: indices of rows, in [0, c).
        dtype: of the result; the table's gradient is accumulated in its own dtype.

    >>> look_up(jnp.eye(2), jnp.array([1, 1, 0]), jnp.bfloat16).dtype
    dtype(bfloat16)
    """
    return jnp.take(table, ids, axis=0).astype(dtype)


class Embed(nnx.Embed):
    """Flax's embedding; `dtype` is that of the result and of `attend`."""

    def __call__(self, inputs: Int[Array, "..."]) -> Float[Array, "... d"]:  # type: ignore[override]
        """Returns the embeddings of tokens."""
        return look_up(self.embedding[...], inputs, self.dtype)
