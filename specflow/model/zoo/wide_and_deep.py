"""An affine map and dense layers side by side."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from specflow.model.zoo.mlp import Mlp

__all__ = ["WideAndDeep"]


class WideAndDeep(nnx.Module):
    """An affine map, which learns by heart, and dense layers, which generalize.

    Their outputs are added up. Parameters are `wide.*` and `deep.*`, so that each part
    may have an optimizer of its own.

    Args:
        inputs: number of values an example goes in with.
        wide: number of values that the affine map takes, if these are others.
        outputs: number of values an example comes out with.
        dtype: type of the activations; the parameters are float32.
        rngs: streams of the initial values and of dropout.
        **deep: what else an `Mlp` takes: hidden, dropout, activation, batch_norm.

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
        """Values of each example.

        Args:
            x: what both parts see.
            wide: what the affine map sees in place of `x`, such as crosses of features.
        """
        seen = x if wide is None else wide
        return self.wide(seen.reshape(seen.shape[0], -1)) + self.deep(x)
