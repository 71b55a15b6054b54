"""The metrics that `spec.eval_metrics` can declare, by name."""

from typing import ClassVar, Literal

from pydantic import PositiveInt

from specflow.config.base import Config
from specflow.config.key_path import KeyPath
from specflow.config.kinds import Elsewhere, by_name

__all__ = [
    "RESERVED",
    "AccuracyConfig",
    "ClassesConfig",
    "ConfusionMatrixConfig",
    "MeanConfig",
    "MetricConfig",
    "RatioConfig",
    "TopKConfig",
    "WeightedConfig",
]

RESERVED = ("loss", "global_step", "step", "split")
"""Names that no metric may have: evaluation reports the first two itself, and each row
of `metrics.jsonl` has the others beside its metrics."""


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


class ConfusionMatrixConfig(ClassesConfig):
    """Counts by (label, prediction)."""

    name: Literal["confusion_matrix"] = "confusion_matrix"
    is_number = False
    classes: PositiveInt
    """Number of classes."""


MetricConfig = by_name(
    MeanConfig,
    AccuracyConfig,
    TopKConfig,
    Elsewhere("specflow.config.sections.class_metrics", "precision", "recall", "f1"),
    ConfusionMatrixConfig,
    Elsewhere("specflow.config.sections.class_metrics", "auc"),
    Elsewhere("specflow.config.sections.error_metrics", "mse", "rmse", "mae", "r2"),
    Elsewhere("specflow.config.sections.text_metrics", "perplexity", "bits_per_byte"),
    Elsewhere(
        "specflow.config.sections.other_metrics",
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
    group="specflow.metrics",
)
"""A declared metric, or a `_target_`: a metric class (its `from_batch` is called) or a
function, whose keyword arguments may be key paths."""
