"""The metrics of `spec.eval_metrics` that know a positive class."""

from typing import Literal

from specflow.config.key_path import KeyPath
from specflow.config.kinds import named
from specflow.config.sections.metrics import ClassesConfig, RatioConfig

__all__ = [
    "MEMBERS",
    "AucConfig",
    "AveragedConfig",
    "F1Config",
    "PrecisionConfig",
    "RecallConfig",
]


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


class AucConfig(RatioConfig):
    """Area under the ROC curve, exact."""

    name: Literal["auc"] = "auc"
    labels: KeyPath = "labels"
    """0 or 1 for each score."""
    scores: KeyPath
    """Score of the positive class; any increasing function of it has the same area."""


MEMBERS = named(
    PrecisionConfig,
    RecallConfig,
    F1Config,
    AucConfig,
)
"""Name -> class."""
