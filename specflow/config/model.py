"""`model`: which Flax module, its sizes, its dtypes."""

from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from specflow.config.base import Config, by_name, refuse

__all__ = [
    "CnnConfig",
    "LinearConfig",
    "MlpConfig",
    "ModelConfig",
    "TransformerConfig",
    "WideAndDeepConfig",
]

Dtype = Literal["float32", "bfloat16"]


class LinearConfig(Config):
    """One affine map: logistic or linear regression."""

    name: Literal["linear"] = "linear"
    inputs: PositiveInt | None = None
    """Number of values an example goes in with; null: as many as the data has."""
    outputs: PositiveInt = 1
    """Number of values per example: classes, or 1 for a regression."""


Activation = Literal["relu", "gelu", "silu", "tanh"]


class MlpConfig(Config):
    """Dense layers with an activation between them."""

    name: Literal["mlp"] = "mlp"
    inputs: PositiveInt | None = None
    """Number of values an example goes in with; null: as many as the data has."""
    hidden: list[PositiveInt] = [128, 128]
    """Widths of the hidden layers."""
    outputs: PositiveInt = 10
    """Number of values per example: classes, or 1 for a regression."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of hidden units dropped while training."""
    activation: Activation = "relu"
    """What stands between the layers."""
    batch_norm: bool = False
    """Whether hidden units are normalized over the batch, after the activation."""
    dtype: Dtype = "float32"
    """Type of the activations; parameters stay float32."""


class WideAndDeepConfig(MlpConfig):
    """An affine map and dense layers side by side, added up.

    `spec.inputs` says what goes in: `x`, and what the affine map alone sees, if it is
    something else, as `wide`. Source: Cheng et al., Wide & Deep Learning for
    Recommender Systems, 2016.
    """

    name: Literal["wide_and_deep"] = "wide_and_deep"  # type: ignore[assignment]
    wide_inputs: PositiveInt | None = None
    """Number of values that the affine map takes; null: as many as the data has."""


class CnnConfig(Config):
    """A small convolutional net for small images."""

    name: Literal["cnn"] = "cnn"
    image: list[PositiveInt] | None = Field(default=None, min_length=3, max_length=3)
    """Height, width and channels of an image; null: those of the data."""
    widths: list[PositiveInt] = Field(default=[32, 64], min_length=1)
    """Channels of each 3x3 convolution; each is followed by a 2x2 max-pool."""
    hidden: NonNegativeInt = 128
    """Width of the dense layer before the head; 0 leaves it out."""
    outputs: PositiveInt = 10
    """Number of classes."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of dense units dropped while training."""
    dtype: Dtype = "float32"
    """Type of the activations; parameters stay float32."""


class TransformerConfig(Config):
    """A decoder-only transformer over a vocabulary of tokens."""

    name: Literal["transformer"] = "transformer"
    vocabulary: PositiveInt = 256
    """Number of tokens; 256 for bytes."""
    layers: PositiveInt = 4
    """Number of blocks, each attention and a feed-forward layer."""
    width: PositiveInt = 128
    """Size of the residual stream."""
    heads: PositiveInt = 4
    """Attention heads; they divide the width."""
    mlp_ratio: PositiveInt = 4
    """Width of the feed-forward layer over the width."""
    max_length: PositiveInt = 128
    """Longest sequence, in tokens."""
    positions: Literal["learned", "rotary"] = "rotary"
    """How a token knows its place: a learned vector is added, or heads are rotated."""
    head: Literal["tied", "untied"] = "untied"
    """Whether the logits come from the embedding's weights or from weights apart."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of activations dropped while training."""
    dtype: Dtype = "float32"
    """Type of the activations; parameters stay float32."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        told = ""
        if self.width % self.heads:
            told = f"a divisor of model.width ({self.width})"
        elif self.positions == "rotary" and self.width // self.heads % 2:
            told = (
                "heads of even width, as rotary positions need them: model.width "
                f"({self.width}) over model.heads is odd"
            )
        if told:
            refuse("TransformerConfig", [(("heads",), self.heads, told)])
        return self


ModelConfig = by_name(
    LinearConfig, MlpConfig, WideAndDeepConfig, CnnConfig, TransformerConfig
)
"""What `model:` may be: one of these by `name`, or a `_target_` of the user's own."""
