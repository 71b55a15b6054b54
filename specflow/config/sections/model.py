"""`model`: the Flax module, its sizes and data types."""

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
    """Multilayer perceptron: dense layers with activations in between."""

    name: Literal["mlp"] = "mlp"
    inputs: PositiveInt | None = None
    """Number of input features per example; null: that of the data."""
    hidden: list[PositiveInt] = [128, 128]
    """Sizes of the hidden layers."""
    outputs: PositiveInt | None = 10
    """Number of outputs per example: classes, or 1 for regression; null: those of the
    labels of the data."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout rate of the hidden layers."""
    activation: Activation = "relu"
    """Activation function of the hidden layers."""
    batch_norm: bool = False
    """Apply batch normalization after each activation."""
    dtype: Dtype | None = None
    """Data type of the activations; parameters stay float32. null:
    loop.compute_dtype."""


class CnnConfig(Config):
    """Convolutional network for small images."""

    name: Literal["cnn"] = "cnn"
    image: list[PositiveInt] | None = Field(default=None, min_length=3, max_length=3)
    """Height, width and channels of an image; null: those of the data."""
    widths: list[PositiveInt] = Field(default=[32, 64], min_length=1)
    """Number of channels of each 3x3 convolution; 2x2 max pooling follows each."""
    hidden: NonNegativeInt = 128
    """Size of the dense layer before the head; 0: no such layer."""
    outputs: PositiveInt | None = 10
    """Number of classes; null: that of the labels of the data."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout rate of the dense layer."""
    dtype: Dtype | None = None
    """Data type of the activations; parameters stay float32. null:
    loop.compute_dtype."""


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
"""Value of `model:`: one of these by `name`, or a `_target_` of the user's."""
