"""Metrics whose fields are not the arguments of a state: rankings and thresholds.

All other metrics are generated (`config/generated/`).
"""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from specflow.config.common.metric_fields import MetricBaseConfig
from specflow.config.key_path import KeyPath
from specflow.config.kinds import named

__all__ = ["MEMBERS"]


class _WeightedConfig(MetricBaseConfig):
    weights: KeyPath | None = None
    """Key path of the sample weights; null: every value has weight 1."""


class _RatioConfig(_WeightedConfig):
    undefined: float | None = None
    """Value where the denominator is zero, as `zero_division` of scikit-learn; null
    reports NaN."""


class _AtKConfig(_RatioConfig):
    labels: KeyPath = "labels"
    """Key path of the true classes: one per row, or several on one more axis."""
    scores: KeyPath
    """Key path of the scores: one per class, on the last axis."""
    k: PositiveInt
    """Number of highest scores that are considered."""


class AveragePrecisionAtKConfig(_AtKConfig):
    """Mean average precision at k, over rows."""

    name: Literal["average_precision_at_k"] = "average_precision_at_k"


class _AtKOfClassConfig(_AtKConfig):
    class_id: NonNegativeInt | None = None
    """Class that is evaluated; null: all classes."""


class PrecisionAtKConfig(_AtKOfClassConfig):
    """Precision at k: fraction of the k highest-scored classes that are labels."""

    name: Literal["precision_at_k"] = "precision_at_k"


class RecallAtKConfig(_AtKOfClassConfig):
    """Recall at k: fraction of the labels among the k highest-scored classes."""

    name: Literal["recall_at_k"] = "recall_at_k"


class _ScoredConfig(_WeightedConfig):
    labels: KeyPath = "labels"
    """Key path of the true labels: 0 is negative, any other value positive."""
    scores: KeyPath
    """Key path of the probability of the positive class, in [0, 1]."""


class ThresholdCountsConfig(_ScoredConfig):
    """Confusion matrix, or a rate read from it, at each decision threshold."""

    name: Literal["threshold_counts"] = "threshold_counts"
    is_number = False
    thresholds: list[float] = Field(min_length=1)
    """Decision thresholds: a score above is a positive prediction."""
    read: Literal[
        "true_positives",
        "false_positives",
        "true_negatives",
        "false_negatives",
        "precisions",
        "recalls",
    ] | None = None  # fmt: skip
    """Value at each threshold; null: its confusion matrix, the negative class first."""


MEMBERS = named(
    AveragePrecisionAtKConfig,
    PrecisionAtKConfig,
    RecallAtKConfig,
    ThresholdCountsConfig,
)
"""Name -> class."""
