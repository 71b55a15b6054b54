"""Embeddings of the categories of a table, joined with its numbers."""

from collections.abc import Mapping
from typing import TypeAlias

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from specflow.columns.embedding import Combiner, Embedding
from specflow.model.embedding_lookup import Embed, look_up

__all__ = ["Categories", "CategoryEmbeddings", "CategoryWeights", "combined"]

Padded: TypeAlias = Mapping[str, Array]
"""`ids`: int32 "b k"; `mask`: bool "b k", False where there is none; `weights`: float32
"b k", of weighted sets alone."""
Categories: TypeAlias = Mapping[str, Int[Array, " b"] | Padded]
"""Column -> an index for each row, or several."""


class CategoryEmbeddings(nnx.Module):
    """An embedding for each category; their vectors follow the numbers.

    The vectors of a row with several indices are combined.

    Args:
        sizes: name of a category -> its embedding. Those that name the same `shared`
            table have one.
        dtype: dtype of the vectors; the parameters are float32.
        rngs: streams of the initial values.

    >>> sizes = {"city": Embedding(5, 2), "tags": Embedding(9, 3, combiner="sum")}
    >>> embed = CategoryEmbeddings(sizes, rngs=nnx.Rngs(0))
    >>> tags = {"ids": jnp.zeros((3, 4), int), "mask": jnp.ones((3, 4), bool)}
    >>> embed(jnp.ones((3, 4)), {"city": jnp.array([0, 4, 1]), "tags": tags}).shape
    (3, 9)
    """

    def __init__(
        self,
        sizes: Mapping[str, Embedding],
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.dtype = dtype
        self.sizes = tuple(sizes.items())
        tables = {each.shared or name: each for name, each in sizes.items()}
        self.tables = nnx.Dict(
            {
                name: Embed(each.rows, each.size, dtype=dtype, rngs=rngs)
                for name, each in tables.items()
            }
        )

    def __call__(
        self, x: Float[Array, "b ..."] | None, categories: Categories
    ) -> Float[Array, "b d"]:
        """Joins numbers and vectors.

        Args:
            x: numbers; None: there are none.
            categories: name -> indices.
        """
        parts = [] if x is None else [x.reshape(x.shape[0], -1).astype(self.dtype)]
        for name, each in self.sizes:
            table = self.tables[each.shared or name].embedding[...]
            parts.append(
                combined(
                    table, categories[name], each.combiner, max_norm=each.max_norm
                ).astype(self.dtype)
            )
        return jnp.concatenate(parts, axis=1)


class CategoryWeights(nnx.Module):
    """A weight for each category and output: the affine map of one-hot features.

    The weights of a row with several indices are summed, each times its weight.

    Args:
        sizes: name of a category -> its embedding.
        outputs: number of outputs.
        dtype: dtype of the sum; the parameters are float32.
        rngs: streams of the initial values, which are zeros.

    >>> weights = CategoryWeights({"city": Embedding(5, 2)}, 3, rngs=nnx.Rngs(0))
    >>> weights({"city": jnp.array([0, 4])}).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        sizes: Mapping[str, Embedding],
        outputs: int,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        zeros = nnx.initializers.zeros
        self.dtype = dtype
        self.tables = nnx.Dict(
            {
                name: Embed(
                    each.rows, outputs, embedding_init=zeros, dtype=dtype, rngs=rngs
                )
                for name, each in sizes.items()
            }
        )

    def __call__(self, categories: Categories) -> Float[Array, "b c"]:
        """Returns the sum of the weights of each example."""
        looked_up = [
            combined(table.embedding[...], categories[name], "sum").astype(self.dtype)
            for name, table in self.tables.items()
        ]
        return jnp.sum(jnp.stack(looked_up), axis=0)


def combined(
    table: Float[Array, "c d"],
    indices: Int[Array, " b"] | Padded,
    combiner: Combiner,
    *,
    max_norm: float | None = None,
) -> Float[Array, "b d"]:
    """Looks up the vectors of each row, and combines those of several indices.

    Args:
        table: c vectors.
        indices: one for each row; or several, padded.
        combiner: `sum` of w * vector; `mean`: that over the sum of the weights w;
            `sqrtn`: over the root of the sum of their squares. Weights are 1 without
            `weights`. A row without an index is zeros.
        max_norm: vectors with a larger Euclidean norm are scaled to it first.

    >>> tags = {"ids": jnp.array([[1, 0]]), "mask": jnp.array([[True, True]])}
    >>> combined(jnp.array([[1.0], [4.0]]), tags, "mean").tolist()
    [[2.5]]

    Source: tf.nn.safe_embedding_lookup_sparse.
    """
    ids = indices["ids"] if isinstance(indices, Mapping) else indices
    vectors = look_up(table, ids, jnp.float32)
    if max_norm is not None:
        norms = jnp.linalg.norm(vectors, axis=-1, keepdims=True)
        vectors = vectors * (max_norm / jnp.maximum(norms, max_norm))
    if not isinstance(indices, Mapping):
        return vectors
    weights = _weights(indices)
    total = jnp.sum(vectors * weights[..., None], axis=1)
    if combiner == "sum":
        return total
    if combiner == "mean":
        divisor = jnp.sum(weights, axis=1, keepdims=True)
    else:
        divisor = jnp.sqrt(jnp.sum(weights**2, axis=1, keepdims=True))
    # Rows without an index would divide by zero.
    has_some = jnp.any(indices["mask"], axis=1, keepdims=True)
    return total / jnp.where(has_some, divisor, 1.0)


def _weights(indices: Padded) -> Float[Array, "b k"]:
    mask: Bool[Array, "b k"] = indices["mask"]
    weights = indices.get("weights")
    ones = mask.astype(jnp.float32)
    return ones if weights is None else jnp.where(mask, weights, 0.0)
