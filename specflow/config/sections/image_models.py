"""Image models: ResNet and vision transformer."""

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from specflow.config.base import Config, Dtype
from specflow.config.broken_rules import refuse
from specflow.config.kinds import named
from specflow.config.sections.decoder_model import Remat

__all__ = ["MEMBERS", "ResNetConfig", "ViTConfig"]


class ResNetConfig(Config):
    """Residual convolutional network. Source: He et al., 2016."""

    name: Literal["resnet"] = "resnet"
    channels: PositiveInt | None = None
    """Number of image channels; null: that of the data."""
    depth: Literal[18, 34, 50, 101, 152] = 50
    """Number of layers with weights; from 50, blocks are bottlenecks."""
    version: Literal["v1.5", "v2"] = "v1.5"
    """`v1.5`: a bottleneck has its stride at the 3x3 convolution; `v2`: pre-activation,
    with normalization and activation before each convolution."""
    width: PositiveInt = 64
    """Number of channels of the first stage; each of the next three doubles it."""
    stem: Literal["large", "small"] = "large"
    """`large`: a 7x7 convolution and max pooling, both of stride 2, as for ImageNet;
    `small`: a 3x3 convolution, for images of up to 64 pixels."""
    norm: Literal["batch", "group"] = "batch"
    """Batch normalization, or group normalization, which does not depend on the
    batch."""
    groups: PositiveInt = 32
    """Number of groups of group normalization, a divisor of `width`."""
    outputs: PositiveInt | None = 1000
    """Number of classes; null: that of the labels of the data."""
    dtype: Dtype | None = None
    """Data type of the activations; parameters and statistics stay float32. null:
    loop.compute_dtype."""

    @model_validator(mode="after")
    def _groups_divide(self) -> Self:
        if self.norm == "group" and self.width % self.groups:
            expected = f"a divisor of model.width ({self.width})"
            refuse("ResNetConfig", [(("groups",), self.groups, expected)])
        return self


class ViTConfig(Config):
    """Vision transformer (ViT). Source: Dosovitskiy et al., 2021."""

    name: Literal["vit"] = "vit"
    image: list[PositiveInt] | None = Field(default=None, min_length=3, max_length=3)
    """Height, width and channels of an image; null: those of the data."""
    patch: PositiveInt = 16
    """Side of a patch, in pixels, a divisor of the image's height and width."""
    layers: PositiveInt = 12
    """Number of blocks: attention and a feed-forward layer each."""
    width: PositiveInt = 384
    """Model dimension: size of the residual stream."""
    heads: PositiveInt = 6
    """Number of attention heads, a divisor of the width."""
    mlp_ratio: PositiveInt = 4
    """Ratio of the feed-forward layer's hidden dimension to the width."""
    positions: Literal["learned", "sincos"] = "learned"
    """Position embedding: learned, or fixed 2-D sines and cosines."""
    pool: Literal["cls", "mean"] = "cls"
    """Pooling for the head: a class token, or the mean over all tokens."""
    outputs: PositiveInt | None = 1000
    """Number of classes; null: that of the labels of the data."""
    remat: Remat = "none"
    """Rematerialization: activations that the backward pass recomputes; see the
    decoder."""
    unroll: PositiveInt = 1
    """Layers per iteration of the scan: faster on some devices, slower to compile."""
    dtype: Dtype | None = None
    """Data type of the activations; parameters, logits and normalization statistics
    stay float32. null: loop.compute_dtype."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        diagnostics = []
        if self.width % self.heads:
            expected = f"a divisor of model.width ({self.width})"
            diagnostics.append((("heads",), self.heads, expected))
        if self.positions == "sincos" and self.width % 4:
            expected = "a multiple of 4, as sines and cosines of two places need it"
            diagnostics.append((("width",), self.width, expected))
        if self.image and any(side % self.patch for side in self.image[:2]):
            expected = f"a divisor of model.image's height and width ({self.image[:2]})"
            diagnostics.append((("patch",), self.patch, expected))
        refuse("ViTConfig", diagnostics)
        return self


MEMBERS = named(ResNetConfig, ViTConfig)
"""Name -> class."""
