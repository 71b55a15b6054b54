"""The metrics that `spec.eval_metrics` can declare, by name."""

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from specflow.config.base import Config, KeyPath, by_name

__all__ = [
    "AccuracyConfig",
    "AucConfig",
    "AveragedConfig",
    "BitsPerByteConfig",
    "ClassesConfig",
    "ConfusionMatrixConfig",
    "ErrorsConfig",
    "F1Config",
    "MaeConfig",
    "MeanConfig",
    "MetricConfig",
    "MseConfig",
    "PerplexityConfig",
    "PrecisionConfig",
    "R2Config",
    "RatioConfig",
    "RecallConfig",
    "RmseConfig",
    "TopKConfig",
    "WeightedConfig",
]


class WeightedConfig(Config):
    """What every metric takes."""

    weights: KeyPath | None = None
    """Weight of each value; null counts every value once."""
    is_number: ClassVar[bool] = True
    """Whether it comes to one number, by which states can be compared."""


class RatioConfig(WeightedConfig):
    """What every metric takes that divides."""

    undefined: float | None = None
    """Value when there is nothing to divide by; null reports it as undefined."""


class MeanConfig(RatioConfig):
    """The mean of a tensor."""

    name: Literal["mean"] = "mean"
    values: KeyPath
    """What is averaged."""


class ClassesConfig(WeightedConfig):
    """Classes beside the labels."""

    labels: KeyPath = "labels"
    """True classes."""
    predictions: KeyPath
    """Predicted classes, shaped as the labels."""


class AccuracyConfig(ClassesConfig, RatioConfig):
    """Share of predictions that equal the label."""

    name: Literal["accuracy"] = "accuracy"


class TopKConfig(RatioConfig):
    """Share of examples whose label is among the k highest scores."""

    name: Literal["top_k"] = "top_k"
    labels: KeyPath = "labels"
    """True classes."""
    scores: KeyPath
    """Scores, one a class, on the last axis."""
    k: PositiveInt
    """How many of the highest scores are looked at."""


class AveragedConfig(ClassesConfig, RatioConfig):
    """A ratio for each class, put together."""

    average: Literal["binary", "macro", "micro", "weighted"] = "binary"
    """How classes are put together, in scikit-learn's words."""
    positive: int = 1
    """The positive class, when average is binary."""


class PrecisionConfig(AveragedConfig):
    """True positives over predicted positives."""

    name: Literal["precision"] = "precision"


class RecallConfig(AveragedConfig):
    """True positives over actual positives."""

    name: Literal["recall"] = "recall"


class F1Config(AveragedConfig):
    """The harmonic mean of precision and recall."""

    name: Literal["f1"] = "f1"


class ConfusionMatrixConfig(ClassesConfig):
    """Counts by (label, prediction)."""

    name: Literal["confusion_matrix"] = "confusion_matrix"
    is_number = False
    classes: PositiveInt
    """Number of classes."""


class AucConfig(RatioConfig):
    """Area under the ROC curve, exact."""

    name: Literal["auc"] = "auc"
    labels: KeyPath = "labels"
    """0 or 1 for each score."""
    scores: KeyPath
    """Score of the positive class; any increasing function of it has the same area."""


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


class PerplexityConfig(RatioConfig):
    """exp of the mean loss per token."""

    name: Literal["perplexity"] = "perplexity"
    losses: KeyPath
    """Cross-entropy of each token, in nats."""


class BitsPerByteConfig(RatioConfig):
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
    elsewhere={
        "specflow.config.metrics_more": (
            "average_precision_at_k",
            "bucketed_auc",
            "cosine_distance",
            "iou",
            "mean_tensor",
            "per_class_accuracy",
            "precision_at_k",
            "recall_at_k",
            "relative_error",
            "sensitivity_at_specificity",
            "specificity_at_sensitivity",
            "sum",
            "threshold_counts",
        ),
    },
)
"""A declared metric, or a `_target_`: a metric class (its `from_batch` is called) or a
function, whose keyword arguments may be key paths."""
