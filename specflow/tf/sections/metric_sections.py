"""Sections of the metrics of `tf.metrics` that approximate by evenly spaced thresholds.

Fields and defaults are the arguments of `specflow.tf.metrics`, but for `scores`, which
are called `predictions` there. NumPy is imported when a batch is measured.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from specflow.config.base import Component
from specflow.config.common.metric_fields import MetricBaseConfig
from specflow.config.key_path import KeyPath

if TYPE_CHECKING:
    from specflow.metrics import Metric

__all__ = [
    "BucketedAucConfig",
    "SensitivityAtSpecificityConfig",
    "SpecificityAtSensitivityConfig",
    "ThresholdedConfig",
]

_Rate = Annotated[float, Field(ge=0.0, le=1.0)]


class ThresholdedConfig(Component, MetricBaseConfig):
    """Base of the sections: calls the function of `specflow.tf.metrics`."""

    function: ClassVar[str]
    """Name of the function."""

    labels: KeyPath = "labels"
    """Key path of the true labels: 0 is negative, any other value positive."""
    scores: KeyPath
    """Key path of the probability of the positive class, in [0, 1]."""
    weights: KeyPath | None = None
    """Key path of the sample weights; null: every value has weight 1."""
    num_thresholds: int = Field(default=200, ge=2)
    """Number of evenly spaced thresholds; more approximate the curve better."""

    def build(self, *, labels: Any, scores: Any, weights: Any = None) -> "Metric":
        """Builds the metric's state of a batch."""
        from specflow.tf import metrics  # Imports NumPy.

        tensors = {"name", "labels", "scores", "weights"}
        arguments = {name: value for name, value in self if name not in tensors}
        _, state = getattr(metrics, self.function)(
            labels, scores, weights=weights, **arguments
        )
        return state

    @property
    def path(self) -> str:
        """The dotted path of the function."""
        return f"specflow.tf.metrics.{self.function}"


class BucketedAucConfig(ThresholdedConfig):
    """Area under the ROC or precision-recall curve, approximated as in TensorFlow.

    `auc` is exact, for ROC.
    """

    function = "auc"

    name: Literal["bucketed_auc"] = "bucketed_auc"
    curve: Literal["ROC", "PR"] = "ROC"
    """Receiver operating characteristic, or precision-recall curve."""
    summation_method: Literal[
        "trapezoidal", "careful_interpolation", "minoring", "majoring"
    ] = "trapezoidal"
    """Summation of the area; `careful_interpolation` is correct for PR too."""


class SensitivityAtSpecificityConfig(ThresholdedConfig):
    """Sensitivity at the threshold whose specificity is closest to a given one."""

    function = "sensitivity_at_specificity"

    name: Literal["sensitivity_at_specificity"] = "sensitivity_at_specificity"
    specificity: _Rate
    """Target specificity."""


class SpecificityAtSensitivityConfig(ThresholdedConfig):
    """Specificity at the threshold whose sensitivity is closest to a given one."""

    function = "specificity_at_sensitivity"

    name: Literal["specificity_at_sensitivity"] = "specificity_at_sensitivity"
    sensitivity: _Rate
    """Target sensitivity."""
