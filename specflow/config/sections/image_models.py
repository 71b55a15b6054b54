"""The nets of `model` for images that are no longer small."""

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from specflow.config.base import Config, Dtype
from specflow.config.broken_rules import refuse
from specflow.config.kinds import named
from specflow.config.sections.decoder_model import Remat

__all__ = ["MEMBERS", "ResNetConfig", "ViTConfig"]


class ResNetConfig(Config):
    """A residual convolutional net."""

    name: Literal["resnet"] = "resnet"
    channels: PositiveInt | None = None
    """Channels of an image; null: those of the data."""
    depth: Literal[18, 34, 50, 101, 152] = 50
    """Layers with weights; from 50 on, blocks are bottlenecks."""
    version: Literal["v1.5", "v2"] = "v1.5"
    """`v1.5`: the stride of a bottleneck is at its 3x3 convolution; `v2`: norm and
    activation come before each convolution."""
    width: PositiveInt = 64
    """Channels of the first stage; each of the other three has twice as many."""
    stem: Literal["large", "small"] = "large"
    """`large`: a 7x7 convolution and a max-pool, both of stride 2, as for ImageNet;
    `small`: a 3x3 convolution, for images of up to 64 pixels."""
    norm: Literal["batch", "group"] = "batch"
    """Whether units are normalized over the batch, or over groups of channels of each
    image alone, which does not depend on the batch."""
    groups: PositiveInt = 32
    """Groups of a group norm; they divide `width`."""
    outputs: PositiveInt = 1000
    """Number of classes."""
    dtype: Dtype | None = None
    """Type of the activations; parameters and statistics stay float32. null:
    loop.compute_dtype."""

    @model_validator(mode="after")
    def _groups_divide(self) -> Self:
        if self.norm == "group" and self.width % self.groups:
            told = f"a divisor of model.width ({self.width})"
            refuse("ResNetConfig", [(("groups",), self.groups, told)])
        return self


class ViTConfig(Config):
    """A vision transformer: an image as a sequence of patches."""

    name: Literal["vit"] = "vit"
    image: list[PositiveInt] | None = Field(default=None, min_length=3, max_length=3)
    """Height, width and channels of an image; null: those of the data."""
    patch: PositiveInt = 16
    """Pixels of a patch's side; it divides the image's height and width."""
    layers: PositiveInt = 12
    """Number of blocks, each attention and a feed-forward layer."""
    width: PositiveInt = 384
    """Size of the residual stream."""
    heads: PositiveInt = 6
    """Attention heads; they divide the width."""
    mlp_ratio: PositiveInt = 4
    """Width of the feed-forward layer over the width."""
    positions: Literal["learned", "sincos"] = "learned"
    """Whether a patch's place is a learned vector, or sines and cosines of it."""
    pool: Literal["cls", "mean"] = "cls"
    """Whether the classes come from a token of its own, or from the mean of all."""
    outputs: PositiveInt = 1000
    """Number of classes."""
    remat: Remat = "none"
    """What the backward pass computes again, layer by layer, to save memory; see the
    decoder."""
    unroll: PositiveInt = 1
    """Layers that the compiled loop takes at once: faster on some devices, and longer
    to compile."""
    dtype: Dtype | None = None
    """Type of the activations; parameters, logits and the statistics of norms stay
    float32. null: loop.compute_dtype."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        diagnostics = []
        if self.width % self.heads:
            told = f"a divisor of model.width ({self.width})"
            diagnostics.append((("heads",), self.heads, told))
        if self.positions == "sincos" and self.width % 4:
            told = "a multiple of 4, as sines and cosines of two places need it"
            diagnostics.append((("width",), self.width, told))
        if self.image and any(side % self.patch for side in self.image[:2]):
            told = f"a divisor of model.image's height and width ({self.image[:2]})"
            diagnostics.append((("patch",), self.patch, told))
        refuse("ViTConfig", diagnostics)
        return self


MEMBERS = named(ResNetConfig, ViTConfig)
"""Name -> class."""
