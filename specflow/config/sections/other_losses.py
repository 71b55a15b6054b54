"""The predictions, losses and exports of `spec` beside those of exclusive classes."""

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
    """Probability of the positive class; a last axis of size 1 is dropped."""

    name: Literal["sigmoid"] = "sigmoid"


class ThresholdConfig(PredictedConfig):
    """1 where the value is at least `at`, else 0; a last axis of size 1 is dropped."""

    name: Literal["threshold"] = "threshold"
    at: float = 0.5
    """Least value that becomes 1."""


class ExpConfig(PredictedConfig):
    """The expected count of a logarithm; a last axis of size 1 is dropped."""

    name: Literal["exp"] = "exp"


class IdentityConfig(PredictedConfig):
    """The value as it is; a last axis of size 1 is dropped."""

    name: Literal["identity"] = "identity"


class SigmoidCrossEntropyConfig(LabelledConfig):
    """Cross-entropy of labels 0 or 1 and logits; a last axis of size 1 is dropped.

    Labels "b c" are of as many classes, each of which may be there or not.
    """

    name: Literal["sigmoid_cross_entropy"] = "sigmoid_cross_entropy"
    logits: KeyPath = "outputs"
    """Scores before the sigmoid."""


class PoissonConfig(LabelledConfig):
    """Negative log-likelihood of counts, whose expected values are exp(logits)."""

    name: Literal["poisson"] = "poisson"
    logits: KeyPath = "outputs"
    """Logarithm of the expected count; a last axis of size 1 is dropped."""
    full: bool = False
    """Whether Stirling's approximation of log(label!) is added, a constant."""


class SquaredErrorConfig(LabelledConfig):
    """Squared difference; a last axis of size 1 of the predictions is dropped."""

    name: Literal["squared_error"] = "squared_error"
    predictions: KeyPath = "outputs"
    """What is compared with the labels."""


class AbsoluteErrorConfig(LabelledConfig):
    """Absolute difference; a last axis of size 1 of the predictions is dropped."""

    name: Literal["absolute_error"] = "absolute_error"
    predictions: KeyPath = "outputs"
    """What is compared with the labels."""


class HuberConfig(LabelledConfig):
    """Squared up to `delta`, absolute beyond. Source: Huber, 1964."""

    name: Literal["huber"] = "huber"
    predictions: KeyPath = "outputs"
    """What is compared with the labels."""
    delta: PositiveFloat = 1.0
    """Difference up to which it is squared."""


class PredictExportConfig(Config):
    """Named tensors as they are."""

    name: Literal["predict"] = "predict"
    outputs: dict[Name, KeyPath]
    """Name in the export -> what it holds."""


class RegressionExportConfig(Config):
    """One floating value an example."""

    name: Literal["regression"] = "regression"
    value: KeyPath
    """The number, one an example."""


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
