"""An affine map and dense layers side by side."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from specflow.columns.embedding import Embedding
from specflow.model.zoo.category_embeddings import Categories, CategoryWeights
from specflow.model.zoo.linear_model import affine
from specflow.model.zoo.mlp import Mlp

__all__ = ["WideAndDeep"]


class WideAndDeep(nnx.Module):
    """An affine map, which memorizes, and dense layers, which generalize.

    Their outputs are summed. Parameters are `wide.*` and `deep.*`, so that each part
    can have its own optimizer.

    Args:
        inputs: number of input features.
        wide: number of features of the affine map, if different.
        outputs: number of outputs.
        embeddings: name of a category -> its embedding.
        dtype: dtype of the activations; the parameters are float32.
        rngs: streams of the initial values and of dropout.
        **deep: further arguments of `Mlp`: hidden, dropout, activation, batch_norm.

    >>> model = WideAndDeep(3, wide=5, hidden=[4], outputs=2, rngs=nnx.Rngs(0))
    >>> model(jnp.ones((7, 3)), wide=jnp.ones((7, 5))).shape
    (7, 2)

    Source: Cheng et al., Wide & Deep Learning for Recommender Systems, 2016.
    """

    def __init__(
        self,
        inputs: int,
        *,
        wide: int | None = None,
        outputs: int,
        embeddings: Mapping[str, Embedding] | None = None,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
        **deep: Any,
    ):
        self.wide = nnx.Linear(
            inputs if wide is None else wide,
            outputs,
            kernel_init=nnx.initializers.zeros,
            dtype=dtype,
            rngs=rngs,
        )
        self.deep = Mlp(
            inputs,
            outputs=outputs,
            embeddings=embeddings,
            dtype=dtype,
            rngs=rngs,
            **deep,
        )
        self.wide_categories = (
            CategoryWeights(embeddings, outputs, dtype=dtype, rngs=rngs)
            if embeddings
            else None
        )

    def __call__(
        self,
        x: Float[Array, "b ..."] | None = None,
        wide: Float[Array, "b ..."] | None = None,
        categories: Categories | None = None,
    ) -> Float[Array, "b c"]:
        """Returns the outputs of each example.

        Args:
            x: features of both parts.
            wide: features of the affine map instead of `x`, such as crosses.
            categories: name -> indices: weights of the affine map, and embeddings of
                the dense layers.
        """
        seen = x if wide is None else wide
        memorized = affine(self.wide, self.wide_categories, seen, categories)
        return memorized + self.deep(x, categories)
