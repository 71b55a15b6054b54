"""Metrics that heads share, on host rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specflow.metrics.means import Mean
from specflow.tf import metrics
from specflow.tf.heads.head import Formula

__all__ = ["MajorityShare", "areas", "at_thresholds", "broadcast", "undefined"]


class MajorityShare(Mean):
    """Fraction of the more frequent binary label: accuracy of the constant prediction.

    >>> MajorityShare.from_batch(np.array([0.0, 1.0, 0.0, 0.0])).compute()
    0.75
    """

    __slots__ = ()

    def _value(self, mean: float) -> float:
        return max(mean, 1.0 - mean)


def undefined(formula: Formula) -> float | None:
    """Returns the value of a metric whose denominator is zero; None: NaN."""
    return 0.0 if formula == "tf" else None


def broadcast(weights: NDArray | None, like: NDArray) -> NDArray | None:
    """Broadcasts weights to the shape of an array."""
    return None if weights is None else np.broadcast_to(weights, like.shape)


def areas(
    labels: NDArray,
    scores: NDArray,
    weights: NDArray | None,
    formula: Formula,
    *,
    suffix: str = "",
) -> dict[str, Any]:
    """Computes the areas under the ROC and the precision-recall curve."""
    weight = broadcast(weights, scores)
    return {
        f"auc{suffix}": metrics.auc(labels, scores, weight, formula=formula),
        f"auc_precision_recall{suffix}": metrics.auc(
            labels,
            scores,
            weight,
            curve="PR",
            summation_method="careful_interpolation",
        ),
    }


def at_thresholds(
    labels: NDArray,
    scores: NDArray,
    weights: NDArray | None,
    thresholds: Sequence[float],
    formula: Formula,
) -> dict[str, Any]:
    """Computes accuracy, precision and recall at each decision threshold."""
    weight, zero_division = broadcast(weights, scores), undefined(formula)
    return {
        f"{name}/positive_threshold_{threshold:g}": function(
            labels, scores > threshold, weight, undefined=zero_division
        )
        for threshold in thresholds
        for name, function in (
            ("accuracy", metrics.accuracy),
            ("precision", metrics.precision),
            ("recall", metrics.recall),
        )
    }
