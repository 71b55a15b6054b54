"""One affine map: logistic or linear regression."""

from collections.abc import Mapping

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from specflow.columns.embedding import Embedding
from specflow.model.zoo.category_embeddings import Categories, CategoryWeights

__all__ = ["Linear", "affine"]


class Linear(nnx.Module):
    """One affine map of the flattened example.

    Args:
        inputs: number of input features.
        outputs: number of outputs.
        embeddings: name of a category -> its embedding, whose size has no meaning.
        rngs: streams of the initial values.

    >>> Linear(3, 1, rngs=nnx.Rngs(0))(jnp.ones((2, 3))).shape
    (2, 1)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        embeddings: Mapping[str, Embedding] | None = None,
        rngs: nnx.Rngs,
    ):
        self.head = nnx.Linear(inputs, outputs, rngs=rngs)
        self.categories = (
            CategoryWeights(embeddings, outputs, rngs=rngs) if embeddings else None
        )

    def __call__(
        self,
        x: Float[Array, "b ..."] | None = None,
        categories: Categories | None = None,
    ) -> Float[Array, "b c"]:
        """Returns the outputs of each example.

        Args:
            x: numbers; None: there are only categories.
            categories: name -> indices, each with a weight for every output.
        """
        return affine(self.head, self.categories, x, categories)


def affine(
    head: nnx.Linear,
    weights: CategoryWeights | None,
    x: Float[Array, "b ..."] | None,
    categories: Categories | None,
) -> Float[Array, "b c"]:
    """Affine map of numbers and categories.

    Args:
        head: map of the numbers.
        weights: of the categories; None: there are none.
        x: numbers; None: there are only categories.
        categories: name -> indices.
    """
    if x is None:
        first = next(iter((categories or {}).values()))
        rows = len(first["ids"] if isinstance(first, Mapping) else first)
        x = jnp.zeros((rows, 0), jnp.float32)
    outputs = head(x.reshape(x.shape[0], -1))
    return outputs if weights is None else outputs + weights(categories or {})
