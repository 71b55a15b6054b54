"""`model`: which Flax module, its sizes, its dtypes."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from specflow.config.base import Config, Dtype
from specflow.config.kinds import Elsewhere, by_name

__all__ = [
    "CnnConfig",
    "MlpConfig",
    "ModelConfig",
]

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
    dtype: Dtype | None = None
    """Type of the activations; parameters stay float32. null: loop.compute_dtype."""


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
    dtype: Dtype | None = None
    """Type of the activations; parameters stay float32. null: loop.compute_dtype."""


ModelConfig = by_name(
    Elsewhere("specflow.config.sections.other_models", "linear"),
    MlpConfig,
    Elsewhere("specflow.config.sections.other_models", "wide_and_deep"),
    CnnConfig,
    Elsewhere("specflow.config.sections.other_models", "transformer"),
    Elsewhere("specflow.config.sections.decoder_model", "decoder"),
    Elsewhere("specflow.config.sections.image_models", "resnet", "vit"),
    group="specflow.models",
)
"""What `model:` may be: one of these by `name`, or a `_target_` of the user's own."""
