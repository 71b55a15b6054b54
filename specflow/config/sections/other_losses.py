"""Predictions, losses and exports of `spec` that are imported when they are used."""

from typing import Literal

from pydantic import PositiveFloat

from specflow.config.base import Config
from specflow.config.key_path import KeyPath
from specflow.config.kinds import named
from specflow.config.sections.spec import LabelledConfig, Name, PredictedConfig

__all__ = [
    "MEMBERS",
    "AbsoluteErrorConfig",
    "ExpConfig",
    "HuberConfig",
    "IdentityConfig",
    "PoissonConfig",
    "PredictExportConfig",
    "RegressionExportConfig",
    "SigmoidConfig",
    "SigmoidCrossEntropyConfig",
    "SquaredErrorConfig",
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


class SigmoidCrossEntropyConfig(LabelledConfig):
    """Binary cross-entropy of logits; a last axis of size 1 is squeezed.

    Labels "b c" are multi-label: each of c classes is 0 or 1.
    """

    name: Literal["sigmoid_cross_entropy"] = "sigmoid_cross_entropy"
    logits: KeyPath = "outputs"
    """Key path of the logits, before the sigmoid."""


class PoissonConfig(LabelledConfig):
    """Poisson negative log-likelihood of counts with expected values exp(logits)."""

    name: Literal["poisson"] = "poisson"
    logits: KeyPath = "outputs"
    """Key path of the logarithm of the expected count; a last axis of size 1 is
    squeezed."""
    full: bool = False
    """Add Stirling's approximation of log(label!), a constant."""


class SquaredErrorConfig(LabelledConfig):
    """Squared error; a last axis of size 1 of the predictions is squeezed."""

    name: Literal["squared_error"] = "squared_error"
    predictions: KeyPath = "outputs"
    """Key path of the predicted values."""


class AbsoluteErrorConfig(LabelledConfig):
    """Absolute error; a last axis of size 1 of the predictions is squeezed."""

    name: Literal["absolute_error"] = "absolute_error"
    predictions: KeyPath = "outputs"
    """Key path of the predicted values."""


class HuberConfig(LabelledConfig):
    """Huber loss: quadratic up to `delta`, linear beyond. Source: Huber, 1964."""

    name: Literal["huber"] = "huber"
    predictions: KeyPath = "outputs"
    """Key path of the predicted values."""
    delta: PositiveFloat = 1.0
    """Absolute error at which the loss changes from quadratic to linear."""


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
    SigmoidCrossEntropyConfig,
    PoissonConfig,
    SquaredErrorConfig,
    AbsoluteErrorConfig,
    HuberConfig,
    PredictExportConfig,
    RegressionExportConfig,
)
"""Name -> class."""
