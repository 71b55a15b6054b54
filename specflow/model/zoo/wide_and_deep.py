"""An affine map and dense layers side by side."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

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
        self.deep = Mlp(inputs, outputs=outputs, dtype=dtype, rngs=rngs, **deep)

    def __call__(
        self, x: Float[Array, "b ..."], wide: Float[Array, "b ..."] | None = None
    ) -> Float[Array, "b c"]:
        """Returns the outputs of each example.

        Args:
            x: features of both parts.
            wide: features of the affine map instead of `x`, such as crosses.
        """
        seen = x if wide is None else wide
        return self.wide(seen.reshape(seen.shape[0], -1)) + self.deep(x)
