"""Learning rate schedules that are imported when they are used."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from specflow.config.common.optimizer_fields import DecayConfig, WarmupConfig
from specflow.config.common.triggers import AtStep, ForSteps
from specflow.config.epochs import EPOCHS
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
    """Polynomial decay from the peak to `final`."""

    name: Literal["polynomial"] = "polynomial"
    power: PositiveFloat = 2.0
    """Exponent of the polynomial; 1 is linear."""


class StableConfig(DecayConfig):
    """Warmup-stable-decay: the peak for most of training, then linear decay to `final`.

    Source: Hu et al., MiniCPM, 2024.
    """

    name: Literal["stable"] = "stable"
    decay_share: float = Field(default=0.1, gt=0.0, le=1.0)
    """Fraction of the steps after warmup in the decay phase."""


class InverseSqrtConfig(WarmupConfig):
    """Inverse square root: peak * sqrt(warmup_steps / step) after warmup.

    Source: Vaswani et al., Attention Is All You Need, 2017.
    """

    name: Literal["inverse_sqrt"] = "inverse_sqrt"
    warmup_steps: AtStep | None = None
    """Number of steps, or epochs, of linear warmup, from 0 to `optimizer.lr`; null:
    `warmup`, at least one step, or 1,000."""

    def warmup_of(self, train_steps: int) -> int:
        """Number of warmup steps, at least one, as the formula requires."""
        if self.warmup is None and self.warmup_steps is None:
            return 1_000
        return max(1, super().warmup_of(train_steps))


class ExponentialConfig(WarmupConfig):
    """Exponential decay by `keep` every `every` steps."""

    name: Literal["exponential"] = "exponential"
    every: ForSteps
    """Number of steps, or epochs, over which the learning rate is multiplied by
    `keep`."""
    keep: float = Field(default=0.5, gt=0.0, le=1.0)
    """Decay factor over `every` steps."""
    staircase: bool = False
    """Decay at multiples of `every` only, not continuously."""


class PiecewiseConfig(WarmupConfig):
    """Piecewise constant: the learning rate is multiplied by a factor at given
    steps.
    """

    name: Literal["piecewise"] = "piecewise"
    factors: dict[
        Annotated[str, Field(pattern=rf"^([1-9][0-9]*|{EPOCHS})$")], PositiveFloat
    ] = Field(min_length=1)
    """Step, or epochs, counted from the start of training -> factor of the learning
    rate from there."""
    at_boundary: Literal["new", "old"] = "new"
    """Learning rate at a boundary step: the new one, as in optax, or the old one, as in
    TensorFlow's `piecewise_constant`, which changes one step later."""


MEMBERS = named(
    PolynomialConfig,
    StableConfig,
    InverseSqrtConfig,
    ExponentialConfig,
    PiecewiseConfig,
)
"""Name -> class; `optimizer.py` lists the names."""
