"""Models that are imported when they are used."""

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from specflow.config.base import Config, Dtype
from specflow.config.broken_rules import refuse
from specflow.config.kinds import named
from specflow.config.sections.model import MlpConfig

__all__ = [
    "MEMBERS",
    "LinearConfig",
    "TransformerConfig",
    "WideAndDeepConfig",
]


class LinearConfig(Config):
    """Affine map: logistic or linear regression."""

    name: Literal["linear"] = "linear"
    inputs: PositiveInt | None = None
    """Number of input features per example; null: that of the data."""
    outputs: PositiveInt | None = 1
    """Number of outputs per example: classes, or 1 for regression; null: those of the
    labels of the data."""


class WideAndDeepConfig(MlpConfig):
    """Wide-and-deep model: the sum of an affine map and an MLP.

    `spec.inputs` has `x`, and `wide` where the affine map has other inputs. Source:
    Cheng et al., Wide & Deep Learning for Recommender Systems, 2016.
    """

    name: Literal["wide_and_deep"] = "wide_and_deep"  # type: ignore[assignment]
    wide_inputs: PositiveInt | None = None
    """Number of input features of the affine map; null: that of the data."""


class TransformerConfig(Config):
    """Decoder-only transformer for small sequences."""

    name: Literal["transformer"] = "transformer"
    vocabulary: PositiveInt | None = 256
    """Vocabulary size; 256 for bytes; null: that of the text, or of its tokenizer."""
    layers: PositiveInt = 4
    """Number of blocks: attention and a feed-forward layer each."""
    width: PositiveInt = 128
    """Model dimension: size of the residual stream."""
    heads: PositiveInt = 4
    """Number of attention heads, a divisor of the width."""
    mlp_ratio: PositiveInt = 4
    """Ratio of the feed-forward layer's hidden dimension to the width."""
    max_length: PositiveInt = 128
    """Maximum sequence length, in tokens."""
    positions: Literal["learned", "rotary"] = "rotary"
    """Position embedding: learned, or rotary."""
    head: Literal["tied", "untied"] = "untied"
    """Tie the output projection to the embedding, or not."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout rate."""
    dtype: Dtype | None = None
    """Data type of the activations; parameters stay float32. null:
    loop.compute_dtype."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        expected = ""
        if self.width % self.heads:
            expected = f"a divisor of model.width ({self.width})"
        elif self.positions == "rotary" and self.width // self.heads % 2:
            expected = (
                "heads of even width, as rotary positions need them: model.width "
                f"({self.width}) over model.heads is odd"
            )
        if expected:
            refuse("TransformerConfig", [(("heads",), self.heads, expected)])
        return self


MEMBERS = named(
    LinearConfig,
    WideAndDeepConfig,
    TransformerConfig,
)
"""Name -> class."""
