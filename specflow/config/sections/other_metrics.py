"""The metrics of `spec.eval_metrics` that few experiments declare, by name."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from specflow.config.key_path import KeyPath
from specflow.config.kinds import named
from specflow.config.sections.class_metrics import AveragedConfig
from specflow.config.sections.error_metrics import ErrorsConfig
from specflow.config.sections.metrics import ClassesConfig, RatioConfig, WeightedConfig

__all__ = ["MEMBERS"]

_Share = Annotated[float, Field(ge=0.0, le=1.0)]


class SumConfig(WeightedConfig):
    """The sum of a tensor; of conditions, how many hold."""

    name: Literal["sum"] = "sum"
    values: KeyPath
    """What is added up."""


class MeanTensorConfig(RatioConfig):
    """The mean over rows of each element of a tensor."""

    name: Literal["mean_tensor"] = "mean_tensor"
    is_number = False
    values: KeyPath
    """What is averaged, element by element."""


class IouConfig(AveragedConfig):
    """Intersection over union: right ones over those that are label or prediction."""

    name: Literal["iou"] = "iou"


class PerClassAccuracyConfig(ClassesConfig, RatioConfig):
    """The mean over classes of the share of a class's labels that are predicted."""

    name: Literal["per_class_accuracy"] = "per_class_accuracy"
    classes: PositiveInt
    """Number of classes."""
    undefined: float | None = None
    """What a class without labels counts for; null leaves it out of the mean."""


class CosineDistanceConfig(ErrorsConfig, RatioConfig):
    """One less the mean inner product of vectors of length 1, on the last axis."""

    name: Literal["cosine_distance"] = "cosine_distance"


class RelativeErrorConfig(ErrorsConfig, RatioConfig):
    """The mean of |prediction - label| / normalizer; 0 where the normalizer is 0."""

    name: Literal["relative_error"] = "relative_error"
    normalizer: KeyPath = "labels"
    """What each error is divided by, shaped as the labels."""


class _AtKConfig(RatioConfig):
    labels: KeyPath = "labels"
    """Classes: one a row, or several on one axis more."""
    scores: KeyPath
    """Scores, one a class, on the last axis; the k highest are listed."""
    k: PositiveInt
    """How many of the highest scores are listed."""


class AveragePrecisionAtKConfig(_AtKConfig):
    """The mean over rows of the precision at each hit of the k best classes."""

    name: Literal["average_precision_at_k"] = "average_precision_at_k"


class PrecisionAtKConfig(_AtKConfig):
    """Share of the k best classes that are labels of their row."""

    name: Literal["precision_at_k"] = "precision_at_k"
    class_id: NonNegativeInt | None = None
    """The one class that counts; null counts all."""


class RecallAtKConfig(_AtKConfig):
    """Share of the labels that are among the k best classes of their row."""

    name: Literal["recall_at_k"] = "recall_at_k"
    class_id: NonNegativeInt | None = None
    """The one class that counts; null counts all."""


class _ScoredConfig(WeightedConfig):
    labels: KeyPath = "labels"
    """0 is negative, anything else positive."""
    scores: KeyPath
    """Probability of the positive class, in [0, 1]."""


class ThresholdCountsConfig(_ScoredConfig):
    """What a cut of the scores at each of some thresholds comes to."""

    name: Literal["threshold_counts"] = "threshold_counts"
    is_number = False
    thresholds: list[float] = Field(min_length=1)
    """A score above it is a positive prediction."""
    read: Literal[
        "true_positives",
        "false_positives",
        "true_negatives",
        "false_negatives",
        "precisions",
        "recalls",
    ] | None = None  # fmt: skip
    """What is read at each threshold; null: its confusion matrix, negative first."""


class _SpreadConfig(_ScoredConfig):
    num_thresholds: int = Field(default=200, ge=2)
    """Evenly spread thresholds; the more, the closer."""


class BucketedAucConfig(_SpreadConfig):
    """Area under the ROC or the precision-recall curve, by TensorFlow's formulas.

    `auc` is the exact one, for ROC.
    """

    name: Literal["bucketed_auc"] = "bucketed_auc"
    curve: Literal["ROC", "PR"] = "ROC"
    """Under which curve."""
    summation_method: Literal[
        "trapezoidal", "careful_interpolation", "minoring", "majoring"
    ] = "trapezoidal"
    """How the area is put together; `careful_interpolation` is right for PR too."""


class SensitivityAtSpecificityConfig(_SpreadConfig):
    """The recall at the threshold whose specificity is nearest to a given one."""

    name: Literal["sensitivity_at_specificity"] = "sensitivity_at_specificity"
    specificity: _Share
    """The specificity to come nearest to."""


class SpecificityAtSensitivityConfig(_SpreadConfig):
    """The specificity at the threshold whose recall is nearest to a given one."""

    name: Literal["specificity_at_sensitivity"] = "specificity_at_sensitivity"
    sensitivity: _Share
    """The sensitivity to come nearest to."""


MEMBERS = named(
    AveragePrecisionAtKConfig,
    BucketedAucConfig,
    CosineDistanceConfig,
    IouConfig,
    MeanTensorConfig,
    PerClassAccuracyConfig,
    PrecisionAtKConfig,
    RecallAtKConfig,
    RelativeErrorConfig,
    SensitivityAtSpecificityConfig,
    SpecificityAtSensitivityConfig,
    SumConfig,
    ThresholdCountsConfig,
)
"""Name -> config."""
