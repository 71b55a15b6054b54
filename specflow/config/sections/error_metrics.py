"""The metrics of `spec.eval_metrics` that compare numbers."""

from typing import Literal

from specflow.config.key_path import KeyPath
from specflow.config.kinds import named
from specflow.config.sections.metrics import RatioConfig, WeightedConfig

__all__ = [
    "MEMBERS",
    "ErrorsConfig",
    "MaeConfig",
    "MseConfig",
    "R2Config",
    "RmseConfig",
]


class ErrorsConfig(WeightedConfig):
    """Numbers beside the labels."""

    labels: KeyPath = "labels"
    """True numbers."""
    predictions: KeyPath
    """Predicted numbers, shaped as the labels."""


class MseConfig(ErrorsConfig, RatioConfig):
    """Mean squared error."""

    name: Literal["mse"] = "mse"


class RmseConfig(ErrorsConfig, RatioConfig):
    """Root of the mean squared error, in the labels' unit."""

    name: Literal["rmse"] = "rmse"


class MaeConfig(ErrorsConfig, RatioConfig):
    """Mean absolute error, in the labels' unit."""

    name: Literal["mae"] = "mae"


class R2Config(ErrorsConfig):
    """Coefficient of determination."""

    name: Literal["r2"] = "r2"


MEMBERS = named(
    MseConfig,
    RmseConfig,
    MaeConfig,
    R2Config,
)
"""Name -> class."""
