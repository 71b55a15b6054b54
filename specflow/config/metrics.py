"""The metrics that `spec.eval_metrics` can declare, by name."""

from typing import Literal

from pydantic import Field, PositiveInt

from specflow.config.base import Config, KeyPath, by_name

__all__ = [
    "AccuracyConfig",
    "AucConfig",
    "BitsPerByteConfig",
    "ConfusionMatrixConfig",
    "F1Config",
    "MaeConfig",
    "MeanConfig",
    "MetricConfig",
    "MseConfig",
    "PerplexityConfig",
    "PrecisionConfig",
    "R2Config",
    "RecallConfig",
    "RmseConfig",
    "TopKConfig",
]


class _Weighted(Config):
    weights: KeyPath | None = None
    """Weight of each value; null counts every value once."""


class MeanConfig(_Weighted):
    """The mean of a tensor."""

    name: Literal["mean"] = "mean"
    values: KeyPath


class _Classes(_Weighted):
    labels: KeyPath = "labels"
    predictions: KeyPath
    """Predicted classes, shaped as the labels."""


class AccuracyConfig(_Classes):
    """Share of predictions that equal the label."""

    name: Literal["accuracy"] = "accuracy"


class TopKConfig(_Weighted):
    """Share of examples whose label is among the k highest scores."""

    name: Literal["top_k"] = "top_k"
    labels: KeyPath = "labels"
    scores: KeyPath
    """Scores, one a class, on the last axis."""
    k: PositiveInt


class _Averaged(_Classes):
    average: Literal["binary", "macro", "micro", "weighted"] = "binary"
    """How classes are put together, in scikit-learn's words."""
    positive: int = 1
    """The positive class, when average is binary."""
    undefined: float | None = None
    """Value when there is nothing to divide by; null reports it as undefined."""


class PrecisionConfig(_Averaged):
    """True positives over predicted positives."""

    name: Literal["precision"] = "precision"


class RecallConfig(_Averaged):
    """True positives over actual positives."""

    name: Literal["recall"] = "recall"


class F1Config(_Averaged):
    """The harmonic mean of precision and recall."""

    name: Literal["f1"] = "f1"


class ConfusionMatrixConfig(_Classes):
    """Counts by (label, prediction)."""

    name: Literal["confusion_matrix"] = "confusion_matrix"
    classes: PositiveInt
    """Number of classes."""


class AucConfig(_Weighted):
    """Area under the ROC curve, exact."""

    name: Literal["auc"] = "auc"
    labels: KeyPath = "labels"
    scores: KeyPath
    """Score of the positive class; any increasing function of it has the same area."""
    undefined: float | None = None
    """Value without both classes; null reports it as undefined."""


class _Errors(_Weighted):
    labels: KeyPath = "labels"
    predictions: KeyPath


class MseConfig(_Errors):
    """Mean squared error."""

    name: Literal["mse"] = "mse"


class RmseConfig(_Errors):
    """Root of the mean squared error, in the labels' unit."""

    name: Literal["rmse"] = "rmse"


class MaeConfig(_Errors):
    """Mean absolute error, in the labels' unit."""

    name: Literal["mae"] = "mae"


class R2Config(_Errors):
    """Coefficient of determination."""

    name: Literal["r2"] = "r2"


class PerplexityConfig(_Weighted):
    """exp of the mean loss per token."""

    name: Literal["perplexity"] = "perplexity"
    losses: KeyPath
    """Cross-entropy of each token, in nats."""


class BitsPerByteConfig(_Weighted):
    """Mean loss per byte, in bits."""

    name: Literal["bits_per_byte"] = "bits_per_byte"
    losses: KeyPath
    """Cross-entropy of each token, in nats."""
    bytes_per_token: float = Field(default=1.0, gt=0.0)
    """Mean number of bytes a token stands for."""


MetricConfig = by_name(
    MeanConfig,
    AccuracyConfig,
    TopKConfig,
    PrecisionConfig,
    RecallConfig,
    F1Config,
    ConfusionMatrixConfig,
    AucConfig,
    MseConfig,
    RmseConfig,
    MaeConfig,
    R2Config,
    PerplexityConfig,
    BitsPerByteConfig,
)
"""A declared metric, or a `_target_`: a metric class (its `from_batch` is called) or a
function, whose keyword arguments may be key paths."""
