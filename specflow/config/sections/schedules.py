"""Learning rates that move otherwise than by a cosine or a line."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from specflow.config.base import MOST_STEPS
from specflow.config.common.optimizer_fields import DecayConfig, WarmupConfig
from specflow.config.kinds import named

__all__ = [
    "MEMBERS",
    "ExponentialConfig",
    "InverseSqrtConfig",
    "PiecewiseConfig",
    "PolynomialConfig",
    "StableConfig",
]


class PolynomialConfig(DecayConfig):
    """A power of what is left, from the peak down to `final`."""

    name: Literal["polynomial"] = "polynomial"
    power: PositiveFloat = 2.0
    """1 is a straight line."""


class StableConfig(DecayConfig):
    """The peak for most of the training, then a straight line down to `final`.

    Source: Hu et al., MiniCPM, 2024 (warmup, stable, decay).
    """

    name: Literal["stable"] = "stable"
    decay_share: float = Field(default=0.1, gt=0.0, le=1.0)
    """How much of the steps after the warmup goes down."""


class InverseSqrtConfig(WarmupConfig):
    """The peak times sqrt(warmup_steps / step) after the warmup.

    Source: Vaswani et al., Attention Is All You Need, 2017.
    """

    name: Literal["inverse_sqrt"] = "inverse_sqrt"
    warmup_steps: Annotated[PositiveInt, Field(le=MOST_STEPS)] | None = None  # type: ignore[assignment]
    """Steps over which the rate rises from 0 to `optimizer.lr`; null: what `warmup`
    says, at least one, and 1,000 without it."""

    def warmup_of(self, train_steps: int) -> int:
        """The number of warmup steps, of which the formula needs one at least."""
        if self.warmup is None and self.warmup_steps is None:
            return 1_000
        return max(1, super().warmup_of(train_steps))


class ExponentialConfig(WarmupConfig):
    """The same share of the rate is kept every `every` steps."""

    name: Literal["exponential"] = "exponential"
    every: PositiveInt
    """Steps over which `keep` of the rate is left."""
    keep: float = Field(default=0.5, gt=0.0, le=1.0)
    """Share of the rate that is left after `every` steps."""
    staircase: bool = False
    """Whether it falls at every `every` steps only, not on the way."""


class PiecewiseConfig(WarmupConfig):
    """The rate is multiplied at some steps, as at step 60,000 by 0.1."""

    name: Literal["piecewise"] = "piecewise"
    factors: dict[Annotated[str, Field(pattern=r"^[1-9][0-9]*$")], PositiveFloat] = (
        Field(min_length=1)
    )
    """Step, counted from the start of training -> factor of the rate from then on."""
    at_boundary: Literal["new", "old"] = "new"
    """Rate of the step that is named: the new one, as in optax, or still the old one,
    as in TensorFlow's `piecewise_constant`, which changes one step later."""


MEMBERS = named(
    PolynomialConfig,
    StableConfig,
    InverseSqrtConfig,
    ExponentialConfig,
    PiecewiseConfig,
)
"""Name -> class; `optimizer.py` lists the names."""
