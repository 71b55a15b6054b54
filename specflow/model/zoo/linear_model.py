"""One affine map: logistic or linear regression."""

from collections.abc import Mapping

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from specflow.model.zoo.category_embeddings import CategoryWeights

__all__ = ["Linear", "affine"]


class Linear(nnx.Module):
    """One affine map of the flattened example.

    Args:
        inputs: number of input features.
        outputs: number of outputs.
        embeddings: name of a category -> number of indices, and a size without meaning.
        rngs: streams of the initial values.

    >>> Linear(3, 1, rngs=nnx.Rngs(0))(jnp.ones((2, 3))).shape
    (2, 1)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        embeddings: Mapping[str, tuple[int, int]] | None = None,
        rngs: nnx.Rngs,
    ):
        self.head = nnx.Linear(inputs, outputs, rngs=rngs)
        self.categories = (
            CategoryWeights(embeddings, outputs, rngs=rngs) if embeddings else None
        )

    def __call__(
        self,
        x: Float[Array, "b ..."] | None = None,
        categories: Mapping[str, Int[Array, " b"]] | None = None,
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
    categories: Mapping[str, Int[Array, " b"]] | None,
) -> Float[Array, "b c"]:
    """Affine map of numbers and categories.

    Args:
        head: map of the numbers.
        weights: of the categories; None: there are none.
        x: numbers; None: there are only categories.
        categories: name -> indices.
    """
    if x is None:
        rows = len(next(iter((categories or {}).values())))
        x = jnp.zeros((rows, 0), jnp.float32)
    outputs = head(x.reshape(x.shape[0], -1))
    return outputs if weights is None else outputs + weights(categories or {})
