"""Residual convolutional nets."""

import functools
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

__all__ = ["DEPTHS", "ResNet"]

Images: TypeAlias = Float[Array, "b h w d"]
Norm: TypeAlias = Callable[..., nnx.Module]
"""(channels, zero-initialized) -> a norm."""

DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Layers with weights -> blocks of each stage (He et al., 2015, table 1)."""

_EXPANSION = 4
"""Ratio of a bottleneck's output channels to its inner channels."""


class Block(nnx.Module):
    """Two or three convolutions beside a shortcut.

    Args:
        inputs: number of input channels.
        width: channels of the 3x3 convolutions.
        stride: of the first 3x3 convolution.
        bottleneck: put a 1x1 convolution before and after a single 3x3 one.
        first: put norm and activation before each convolution (`v2`) instead of after.
        convolution: makes a convolution.
        norm: makes a norm.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        *,
        stride: int,
        bottleneck: bool,
        first: bool,
        convolution: Callable[..., nnx.Conv],
        norm: Norm,
    ):
        outputs = width * _EXPANSION if bottleneck else width
        self.first = first
        if bottleneck:
            # The stride is at the 3x3 convolution, which then uses all inputs.
            sizes = [(inputs, width, 1, 1), (width, width, 3, stride)]
            sizes.append((width, outputs, 1, 1))
        else:
            sizes = [(inputs, width, 3, stride), (width, outputs, 3, 1)]
        self.convolutions = nnx.List(convolution(*size) for size in sizes)
        # Blocks that initially add nothing are easier to train (Goyal et al.,
        # Accurate, Large Minibatch SGD, 2017, section 5.1).
        self.norms = nnx.List(
            norm(size[0]) if first else norm(size[1], zero=size is sizes[-1])
            for size in sizes
        )
        is_new = stride != 1 or inputs != outputs
        self.shortcut = convolution(inputs, outputs, 1, stride) if is_new else None
        self.shortcut_norm = norm(outputs) if is_new and not first else None

    def __call__(self, x: Images) -> Images:
        """Returns the images after this block, smaller by its stride."""
        return self._norm_first(x) if self.first else self._norm_last(x)

    def _norm_last(self, x: Images) -> Images:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        if self.shortcut_norm is not None:
            shortcut = self.shortcut_norm(shortcut)
        for place, layer in enumerate(self.convolutions):
            x = self.norms[place](layer(nnx.relu(x) if place else x))
        return nnx.relu(x + shortcut)

    def _norm_first(self, x: Images) -> Images:
        shortcut = x
        for place, layer in enumerate(self.convolutions):
            x = nnx.relu(self.norms[place](x))
            if place == 0 and self.shortcut is not None:
                shortcut = self.shortcut(x)
            x = layer(x)
        return x + shortcut


class ResNet(nnx.Module):
    """A residual network that returns the logits of each image.

    Args:
        channels: of an image.
        depth: layers with weights, a key of `DEPTHS`; from 50 on, blocks are
            bottlenecks.
        version: `v1.5`: the stride of a bottleneck is at its 3x3 convolution; `v2`:
            norm and activation come before each convolution.
        width: channels of the first stage, doubled in each following stage.
        stem: `large`: a 7x7 convolution and a max-pool, each of stride 2; `small`: a
            3x3 convolution.
        norm: over the batch, or over groups of each image's channels.
        groups: groups of a group norm.
        outputs: number of classes.
        dtype: dtype of the activations; parameters and statistics are float32.
        rngs: streams of the initial values.

    Source: He et al., Deep Residual Learning for Image Recognition, 2015, and Identity
    Mappings in Deep Residual Networks, 2016; Wu and He, Group Normalization, 2018.

    >>> def logits(images):
    ...     model = ResNet(1, depth=18, width=4, outputs=10, rngs=nnx.Rngs(0))
    ...     return model(images)
    >>> nnx.eval_shape(logits, jnp.ones((2, 32, 32, 1))).shape
    (2, 10)
    """

    def __init__(
        self,
        channels: int,
        *,
        depth: int,
        version: Literal["v1.5", "v2"] = "v1.5",
        width: int = 64,
        stem: Literal["large", "small"] = "large",
        norm: Literal["batch", "group"] = "batch",
        groups: int = 32,
        outputs: int,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.dtype, self.stem = dtype, stem
        convolve = functools.partial(convolution, dtype=dtype, rngs=rngs)
        make = functools.partial(
            normalization,
            groups=groups if norm == "group" else 0,
            dtype=dtype,
            rngs=rngs,
        )
        first, bottleneck = version == "v2", depth >= 50
        side, stride = (7, 2) if stem == "large" else (3, 1)
        self.stem_convolution = convolve(channels, width, side, stride)
        self.stem_norm = None if first else make(width)
        self.blocks = nnx.List([])
        size = width
        for stage, count in enumerate(DEPTHS[depth]):
            for place in range(count):
                block = Block(
                    size,
                    width * 2**stage,
                    stride=2 if stage and not place else 1,
                    bottleneck=bottleneck,
                    first=first,
                    convolution=convolve,
                    norm=make,
                )
                self.blocks.append(block)
                size = width * 2**stage * (_EXPANSION if bottleneck else 1)
        self.norm = make(size) if first else None
        self.head = nnx.Linear(
            size,
            outputs,
            kernel_init=nnx.initializers.normal(0.01),
            dtype=dtype,
            rngs=rngs,
        )

    def __call__(self, image: Images) -> Float[Array, "b c"]:
        """Returns the logits of each image, float32."""
        x = self.stem_convolution(image.astype(self.dtype))
        x = x if self.stem_norm is None else nnx.relu(self.stem_norm(x))
        if self.stem == "large":
            around: Any = ((1, 1), (1, 1))
            x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding=around)
        for block in self.blocks:
            x = block(x)
        x = x if self.norm is None else nnx.relu(self.norm(x))
        return self.head(x.mean(axis=(1, 2))).astype(jnp.float32)


def convolution(
    inputs: int, outputs: int, side: int, stride: int, *, dtype: Any, rngs: nnx.Rngs
) -> nnx.Conv:
    """Returns a convolution without bias, for use with a norm."""
    return nnx.Conv(
        inputs,
        outputs,
        (side, side),
        strides=stride,
        # Equal padding on both sides for any stride, as in the published weights.
        padding=side // 2,
        use_bias=False,
        kernel_init=nnx.initializers.variance_scaling(2.0, "fan_out", "normal"),
        dtype=dtype,
        rngs=rngs,
    )


def normalization(
    channels: int, *, zero: bool = False, groups: int, dtype: Any, rngs: nnx.Rngs
) -> nnx.Module:
    """Returns a group norm, or a batch norm without groups."""
    start = nnx.initializers.zeros if zero else nnx.initializers.ones
    fields = {"epsilon": 1e-5, "scale_init": start, "dtype": dtype, "rngs": rngs}
    if groups:
        return nnx.GroupNorm(channels, num_groups=groups, **fields)
    return nnx.BatchNorm(channels, momentum=0.9, **fields)
