"""A small convolutional net for small images."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

__all__ = ["Cnn"]


class ConvBlock(nnx.Module):
    """A 3x3 convolution that keeps the size, 2x2 max-pool, bias and ReLU.

    The bias and the ReLU come after the pool. Both keep order, so the values are those
    of the usual order to the last bit, at a quarter of the work.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
        dtype: dtype of the activations.
        rngs: streams of the initial values.
    """

    def __init__(self, inputs: int, outputs: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv = nnx.Conv(
            inputs, outputs, (3, 3), use_bias=False, dtype=dtype, rngs=rngs
        )
        self.bias = nnx.Param(jnp.zeros(outputs))

    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h2 w2 d2"]:
        """Returns the images at half the size, rounded up."""
        x = max_pool(self.conv(x))
        return nnx.relu(x + self.bias[...].astype(x.dtype)[None, None, None])


class Cnn(nnx.Module):
    """Convolutions, each with 2x2 max-pool and ReLU, then one dense layer.

    Args:
        image: height, width and channels of an image.
        widths: channels of each convolution.
        hidden: width of the dense layer before the head; 0 leaves it out.
        outputs: number of classes.
        dropout: dropout rate of the dense units; at 0 there is no dropout layer, and no
            random state.
        dtype: dtype of the activations; the parameters are float32.
        rngs: streams of the initial values and of dropout.

    >>> cnn = Cnn((8, 8, 1), widths=[4, 8], hidden=16, outputs=10, rngs=nnx.Rngs(0))
    >>> cnn(jnp.ones((2, 8, 8, 1))).shape
    (2, 10)
    """

    def __init__(
        self,
        image: Sequence[int],
        *,
        widths: Sequence[int],
        hidden: int,
        outputs: int,
        dropout: float = 0.0,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        height, width, channels = image
        self.dtype = dtype
        self.blocks = nnx.List([])
        for features in widths:
            self.blocks.append(ConvBlock(channels, features, dtype=dtype, rngs=rngs))
            height, width, channels = -(-height // 2), -(-width // 2), features
        flat = height * width * channels
        self.dense = (
            nnx.Linear(flat, hidden, dtype=dtype, rngs=rngs) if hidden else None
        )
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout else None
        self.head = nnx.Linear(hidden or flat, outputs, dtype=dtype, rngs=rngs)

    def __call__(self, image: Float[Array, "b h w d"]) -> Float[Array, "b c"]:
        """Returns the logits of each image."""
        x = image.astype(self.dtype)
        for block in self.blocks:
            x = block(x)
        x = x.reshape(x.shape[0], -1)
        x = nnx.relu(self.dense(x)) if self.dense else x
        x = self.dropout(x) if self.dropout else x
        return self.head(x)


def max_pool(x: Float[Array, "b h w d"]) -> Float[Array, "b h2 w2 d"]:
    """Computes the maximum of each 2x2 window; windows at the edge may be smaller.

    By slices: the gradient of a windowed reduction (select-and-scatter) is ten times
    slower on CPU.

    >>> max_pool(jnp.arange(15.0).reshape(1, 3, 5, 1))[0, :, :, 0].tolist()
    [[6.0, 8.0, 9.0], [11.0, 13.0, 14.0]]
    """
    _, h, w, _ = x.shape
    if h % 2 or w % 2:
        lowest = jnp.finfo(x.dtype).min
        x = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), constant_values=lowest)
    upper = jnp.maximum(x[:, ::2, ::2], x[:, ::2, 1::2])
    lower = jnp.maximum(x[:, 1::2, ::2], x[:, 1::2, 1::2])
    return jnp.maximum(upper, lower)
