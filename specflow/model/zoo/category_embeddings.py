"""Embeddings of the categories of a table, joined with its numbers."""

from collections.abc import Mapping

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from specflow.model.embedding_lookup import Embed

__all__ = ["CategoryEmbeddings", "CategoryWeights"]


class CategoryEmbeddings(nnx.Module):
    """An embedding for each category; their vectors follow the numbers.

    Args:
        sizes: name of a category -> number of indices, and size of a vector.
        dtype: dtype of the vectors; the parameters are float32.
        rngs: streams of the initial values.

    >>> embed = CategoryEmbeddings({"city": (5, 2)}, rngs=nnx.Rngs(0))
    >>> embed(jnp.ones((3, 4)), {"city": jnp.array([0, 4, 1])}).shape
    (3, 6)
    """

    def __init__(
        self,
        sizes: Mapping[str, tuple[int, int]],
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.dtype = dtype
        self.tables = nnx.Dict(
            {
                name: Embed(rows, size, dtype=dtype, rngs=rngs)
                for name, (rows, size) in sizes.items()
            }
        )

    def __call__(
        self,
        x: Float[Array, "b ..."] | None,
        categories: Mapping[str, Int[Array, " b"]],
    ) -> Float[Array, "b d"]:
        """Joins numbers and vectors.

        Args:
            x: numbers; None: there are none.
            categories: name -> indices.
        """
        parts = [] if x is None else [x.reshape(x.shape[0], -1).astype(self.dtype)]
        parts += [table(categories[name]) for name, table in self.tables.items()]
        return jnp.concatenate(parts, axis=1)


class CategoryWeights(nnx.Module):
    """A weight for each category and output: the affine map of one-hot features.

    Args:
        sizes: name of a category -> number of indices, and size of a vector.
        outputs: number of outputs.
        dtype: dtype of the sum; the parameters are float32.
        rngs: streams of the initial values, which are zeros.

    >>> weights = CategoryWeights({"city": (5, 2)}, 3, rngs=nnx.Rngs(0))
    >>> weights({"city": jnp.array([0, 4])}).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        sizes: Mapping[str, tuple[int, int]],
        outputs: int,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        zeros = nnx.initializers.zeros
        self.tables = nnx.Dict(
            {
                name: Embed(rows, outputs, embedding_init=zeros, dtype=dtype, rngs=rngs)
                for name, (rows, _) in sizes.items()
            }
        )

    def __call__(
        self, categories: Mapping[str, Int[Array, " b"]]
    ) -> Float[Array, "b c"]:
        """Returns the sum of the weights of each example."""
        looked_up = [table(categories[name]) for name, table in self.tables.items()]
        return jnp.sum(jnp.stack(looked_up), axis=0)
