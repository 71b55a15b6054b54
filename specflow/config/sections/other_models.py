"""The nets of `model` that the bare experiment does not name."""

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
    """One affine map: logistic or linear regression."""

    name: Literal["linear"] = "linear"
    inputs: PositiveInt | None = None
    """Number of values an example goes in with; null: as many as the data has."""
    outputs: PositiveInt = 1
    """Number of values per example: classes, or 1 for a regression."""


class WideAndDeepConfig(MlpConfig):
    """An affine map and dense layers side by side, added up.

    `spec.inputs` says what goes in: `x`, and what the affine map alone sees, if it is
    something else, as `wide`. Source: Cheng et al., Wide & Deep Learning for
    Recommender Systems, 2016.
    """

    name: Literal["wide_and_deep"] = "wide_and_deep"  # type: ignore[assignment]
    wide_inputs: PositiveInt | None = None
    """Number of values that the affine map takes; null: as many as the data has."""


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
    dtype: Dtype | None = None
    """Type of the activations; parameters stay float32. null: loop.compute_dtype."""

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


MEMBERS = named(
    LinearConfig,
    WideAndDeepConfig,
    TransformerConfig,
)
"""Name -> class."""
