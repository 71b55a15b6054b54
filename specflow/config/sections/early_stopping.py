"""`loop.early_stopping`: rules that end training from evaluation metrics."""

from typing import ClassVar, Literal

from specflow.config.base import Config
from specflow.config.common.triggers import ForSteps, FromStep
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
    """Name of the monitored evaluation metric."""
    min_steps: FromStep = 0
    """Step, or epochs, before which evaluations are ignored."""
    is_better: ClassVar[Literal["lower", "higher"]]
    """Direction of improvement."""


class _Patient(_Judging):
    patience_steps: ForSteps
    """Training steps, or epochs, without improvement after which training ends."""


class NoDecreaseConfig(_Patient):
    """Ends training when a metric has not decreased for `patience_steps` steps."""

    name: Literal["no_decrease"] = "no_decrease"
    is_better = "lower"


class NoIncreaseConfig(_Patient):
    """Ends training when a metric has not increased for `patience_steps` steps."""

    name: Literal["no_increase"] = "no_increase"
    is_better = "higher"


class LowerConfig(_Judging):
    """Ends training when a metric is below a threshold."""

    name: Literal["lower"] = "lower"
    is_better = "lower"
    threshold: float
    """Threshold below which training ends, exclusive."""


class HigherConfig(_Judging):
    """Ends training when a metric is above a threshold."""

    name: Literal["higher"] = "higher"
    is_better = "higher"
    threshold: float
    """Threshold above which training ends, exclusive."""


MEMBERS = named(NoDecreaseConfig, NoIncreaseConfig, LowerConfig, HigherConfig)
"""Name -> class."""
