"""`loop.early_stopping`: what evaluations have to say for training to end early."""

from typing import ClassVar, Literal

from pydantic import NonNegativeInt, PositiveInt

from specflow.config.base import Config
from specflow.config.kinds import named

__all__ = [
    "MEMBERS",
    "HigherConfig",
    "LowerConfig",
    "NoDecreaseConfig",
    "NoIncreaseConfig",
]


class _Judging(Config):
    metric: str = "loss"
    """Name of the evaluation metric that is looked at."""
    min_steps: NonNegativeInt = 0
    """Evaluations before this step do not count."""
    is_better: ClassVar[Literal["lower", "higher"]]
    """Which values the rule looks for."""


class _Patient(_Judging):
    patience_steps: PositiveInt
    """Training steps without a new best value after which training ends."""


class NoDecreaseConfig(_Patient):
    """Ends training when a metric has not fallen for so many steps."""

    name: Literal["no_decrease"] = "no_decrease"
    is_better = "lower"


class NoIncreaseConfig(_Patient):
    """Ends training when a metric has not risen for so many steps."""

    name: Literal["no_increase"] = "no_increase"
    is_better = "higher"


class LowerConfig(_Judging):
    """Ends training when a metric is below a threshold."""

    name: Literal["lower"] = "lower"
    is_better = "lower"
    threshold: float
    """Strictly below it training ends."""


class HigherConfig(_Judging):
    """Ends training when a metric is above a threshold."""

    name: Literal["higher"] = "higher"
    is_better = "higher"
    threshold: float
    """Strictly above it training ends."""


MEMBERS = named(NoDecreaseConfig, NoIncreaseConfig, LowerConfig, HigherConfig)
"""Name -> class."""
