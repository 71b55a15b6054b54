"""Dense layers with an activation between them."""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

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
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        widths = [inputs, *hidden]
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
        self.head = nnx.Linear(widths[-1], outputs, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "b ..."]) -> Float[Array, "b c"]:
        """Returns the outputs of each example: logits, or regression values."""
        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        for place, layer in enumerate(self.hidden):
            x = getattr(jax.nn, self.activation)(layer(x))
            x = self.norms[place](x) if self.norms else x
            x = self.dropout(x) if self.dropout else x
        return self.head(x)
