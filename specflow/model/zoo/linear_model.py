"""One affine map: logistic or linear regression."""

from flax import nnx
from jaxtyping import Array, Float

__all__ = ["Linear"]


class Linear(nnx.Module):
    """One affine map of the flattened example.

    Args:
        inputs: number of input features.
        outputs: number of outputs.
        rngs: streams of the initial values.

    >>> import jax.numpy as jnp
    >>> Linear(3, 1, rngs=nnx.Rngs(0))(jnp.ones((2, 3))).shape
    (2, 1)
    """

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        self.head = nnx.Linear(inputs, outputs, rngs=rngs)

    def __call__(self, x: Float[Array, "b ..."]) -> Float[Array, "b c"]:
        """Returns the outputs of each example."""
        return self.head(x.reshape(x.shape[0], -1))
