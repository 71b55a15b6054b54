"""Dense layers with an activation between them."""

import itertools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from specflow.columns.embedding import Embedding
from specflow.model.zoo.category_embeddings import Categories, CategoryEmbeddings

__all__ = ["Mlp"]


class Mlp(nnx.Module):
    """Dense layers with an activation between them, over the flattened example.

    Args:
        inputs: number of input features.
        hidden: widths of the hidden layers.
        outputs: number of outputs.
        dropout: dropout rate of the hidden units; at 0 there is no dropout layer, and
            no random state.
        activation: name of a function in `jax.nn`.
        batch_norm: normalize hidden units over the batch, after the activation.
        embeddings: name of a category -> its embedding.
        dtype: dtype of the activations; the parameters are float32.
        rngs: streams of the initial values and of dropout.

    >>> mlp = Mlp(12, hidden=[8], outputs=3, rngs=nnx.Rngs(0))
    >>> mlp(jnp.ones((2, 4, 3))).shape
    (2, 3)
    """

    def __init__(
        self,
        inputs: int,
        *,
        hidden: Sequence[int],
        outputs: int,
        dropout: float = 0.0,
        activation: str = "relu",
        batch_norm: bool = False,
        embeddings: Mapping[str, Embedding] | None = None,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        vectors = sum(each.size for each in (embeddings or {}).values())
        widths = [inputs + vectors, *hidden]
        self.dtype = dtype
        self.hidden = nnx.List(
            nnx.Linear(a, b, dtype=dtype, rngs=rngs)
            for a, b in itertools.pairwise(widths)
        )
        self.activation = activation
        self.norms = (
            nnx.List(nnx.BatchNorm(width, dtype=dtype, rngs=rngs) for width in hidden)
            if batch_norm
            else None
        )
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout else None
        self.categories = (
            CategoryEmbeddings(embeddings, dtype=dtype, rngs=rngs)
            if embeddings
            else None
        )
        self.head = nnx.Linear(widths[-1], outputs, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b ..."] | None = None,
        categories: Categories | None = None,
    ) -> Float[Array, "b c"]:
        """Returns the outputs of each example: logits, or regression values.

        Args:
            x: numbers; None: there are only categories.
            categories: name -> indices, of the categories that are embedded.
        """
        if self.categories is not None:
            x = self.categories(x, categories or {})
        assert x is not None, "an MLP needs numbers or categories"
        hidden = x.reshape(x.shape[0], -1).astype(self.dtype)
        for place, layer in enumerate(self.hidden):
            hidden = getattr(jax.nn, self.activation)(layer(hidden))
            hidden = self.norms[place](hidden) if self.norms else hidden
            hidden = self.dropout(hidden) if self.dropout else hidden
        return self.head(hidden)
