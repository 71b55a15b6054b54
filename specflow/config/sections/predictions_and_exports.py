"""Predictions and exports of `spec` that are imported when they are used."""

from typing import Literal

from specflow.config.base import Config
from specflow.config.key_path import KeyPath
from specflow.config.kinds import named
from specflow.config.sections.spec import Name, PredictedConfig

__all__ = [
    "MEMBERS",
    "ExpConfig",
    "IdentityConfig",
    "PredictExportConfig",
    "RegressionExportConfig",
    "SigmoidConfig",
    "ThresholdConfig",
]


class SigmoidConfig(PredictedConfig):
    """Sigmoid: probability of the positive class; a last axis of size 1 is squeezed."""

    name: Literal["sigmoid"] = "sigmoid"


class ThresholdConfig(PredictedConfig):
    """1 where the value is at least `at`, else 0; a last axis of size 1 is squeezed."""

    name: Literal["threshold"] = "threshold"
    at: float = 0.5
    """Decision threshold, inclusive."""


class ExpConfig(PredictedConfig):
    """Exponential, such as the expected count of a log-rate; a last axis of size 1 is
    squeezed.
    """

    name: Literal["exp"] = "exp"


class IdentityConfig(PredictedConfig):
    """Identity; a last axis of size 1 is squeezed."""

    name: Literal["identity"] = "identity"


class PredictExportConfig(Config):
    """Named tensors."""

    name: Literal["predict"] = "predict"
    outputs: dict[Name, KeyPath]
    """Name in the export -> key path of its tensor."""


class RegressionExportConfig(Config):
    """One floating-point value per example."""

    name: Literal["regression"] = "regression"
    value: KeyPath
    """Key path of the value: one per example."""


MEMBERS = named(
    SigmoidConfig,
    ThresholdConfig,
    ExpConfig,
    IdentityConfig,
    PredictExportConfig,
    RegressionExportConfig,
)
"""Name -> class."""
