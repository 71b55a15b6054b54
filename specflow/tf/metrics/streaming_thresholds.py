"""Metrics at decision thresholds, under their names in `tf.metrics`."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from jaxtyping import Num
from numpy.typing import ArrayLike, NDArray

from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.metrics import curves
from specflow.metrics.ranking import AUC
from specflow.metrics.thresholds import Confusions, ThresholdCounts
from specflow.tf.metrics.value_and_state import aligned, pair

__all__ = [
    "auc",
    "false_negatives_at_thresholds",
    "false_positives_at_thresholds",
    "precision_at_thresholds",
    "recall_at_thresholds",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
    "true_negatives_at_thresholds",
    "true_positives_at_thresholds",
]


@pair
def auc(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    weights: ArrayLike | None = None,
    num_thresholds: int = 200,
    *,
    curve: curves.Curve = "ROC",
    summation_method: curves.Summation = "trapezoidal",
    thresholds: Sequence[float] | None = None,
    formula: Literal["tf", "exact"] = "tf",
) -> ThresholdCounts | AUC:
    """Area under the ROC or the precision-recall curve.

    Args:
        labels: true labels, cast to bool.
        predictions: probabilities in [0, 1], shaped as the labels; for
            `formula="exact"` scores of any range.
        weights: sample weights, a scalar or shaped as the labels (axes of size 1
            broadcast); 0 masks.
        num_thresholds: number of evenly spaced thresholds, the points of the curve.
        curve: `"ROC"` or `"PR"`.
        summation_method: `"trapezoidal"`, `"careful_interpolation"` (correct for PR
            too),
            `"minoring"` or `"majoring"`.
        thresholds: inner thresholds, in place of evenly spaced ones.
        formula: `"tf"`: TensorFlow's approximation, 1 without positives. `"exact"`:
            without thresholds, for ROC only; NaN while a class is missing.

    Returns:
        (value of this batch, `ThresholdCounts` or `AUC` state).

    Raises:
        DataError: shapes do not match, a prediction is not a probability, or an
            argument is out of its range.

    >>> import numpy as np
    >>> labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> round(auc(labels, scores)[0], 6), auc(labels, scores, formula="exact")[0]
    (0.75, 0.75)
    """
    label, score, weight = aligned(weights, labels=labels, predictions=predictions)
    area = curves.Area(curve, summation_method)
    if formula == "exact" and curve == "ROC":
        return AUC.from_batch(label.astype(bool), score, weight)
    if formula != "tf":
        raise DataError(
            Diagnostic(
                "auc",
                f"formula is {formula!r}, curve is {curve!r}",
                expected="formula 'tf'; or 'exact', with the curve 'ROC'",
                code="metric-values",
            )
        )
    all_thresholds = (
        curves.evenly_spread(num_thresholds)
        if thresholds is None
        else [-1e-7, *sorted(thresholds), 1.0 + 1e-7]
    )
    return ThresholdCounts.from_batch(
        label, score, weight, thresholds=all_thresholds, read=area
    )


@pair
def sensitivity_at_specificity(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    specificity: float,
    weights: ArrayLike | None = None,
    num_thresholds: int = 200,
) -> ThresholdCounts:
    """Sensitivity at the threshold whose specificity is closest to a given one.

    Of equally close thresholds, the lowest is used.

    Args:
        labels: true labels, cast to bool.
        predictions: probabilities in [0, 1], shaped as the labels.
        specificity: target specificity, in [0, 1].
        weights: sample weights, a scalar or shaped as the labels (axes of size 1
            broadcast); 0 masks.
        num_thresholds: number of evenly spaced thresholds.

    Returns:
        (value of this batch, `ThresholdCounts` state).

    Raises:
        DataError: shapes do not match, a prediction is not a probability, or an
            argument is out of its range.

    >>> import numpy as np
    >>> labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> sensitivity_at_specificity(labels, scores, specificity=1.0)[0]
    0.5
    """
    tensors = aligned(weights, labels=labels, predictions=predictions)
    return ThresholdCounts.from_batch(
        *tensors,
        thresholds=curves.evenly_spread(num_thresholds),
        read=curves.SensitivityAt(specificity),
    )


@pair
def specificity_at_sensitivity(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    sensitivity: float,
    weights: ArrayLike | None = None,
    num_thresholds: int = 200,
) -> ThresholdCounts:
    """Specificity at the threshold whose sensitivity is closest to a given one.

    Of equally close thresholds, the highest is used; a prediction of 1 is positive at
    all of them.

    Args:
        labels: true labels, cast to bool.
        predictions: probabilities in [0, 1], shaped as the labels.
        sensitivity: target sensitivity, in [0, 1].
        weights: sample weights, a scalar or shaped as the labels (axes of size 1
            broadcast); 0 masks.
        num_thresholds: number of evenly spaced thresholds.

    Returns:
        (value of this batch, `ThresholdCounts` state).

    Raises:
        DataError: shapes do not match, a prediction is not a probability, or an
            argument is out of its range.

    >>> import numpy as np
    >>> labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> specificity_at_sensitivity(labels, scores, sensitivity=1.0)[0]
    0.5
    """
    tensors = aligned(weights, labels=labels, predictions=predictions)
    return ThresholdCounts.from_batch(
        *tensors,
        thresholds=curves.evenly_spread(num_thresholds, above=-1e-7),
        read=curves.SpecificityAt(sensitivity),
    )


@pair
def precision_at_thresholds(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    thresholds: Sequence[float],
    weights: ArrayLike | None = None,
) -> ThresholdCounts:
    """Precision at each threshold; 0 where no prediction is above.

    Args:
        labels: true labels, cast to bool.
        predictions: probabilities in [0, 1], shaped as the labels.
        thresholds: decision thresholds, in any order; a prediction above is positive.
        weights: sample weights, a scalar or shaped as the labels (axes of size 1
            broadcast); 0 masks.

    Returns:
        (values of this batch, one per threshold, `ThresholdCounts` state).

    Raises:
        DataError: shapes do not match, or a prediction is not a probability.

    >>> import numpy as np
    >>> labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> precision_at_thresholds(labels, scores, [0.3, 0.5])[0].round(4)
    array([0.6667, 1.    ], dtype=float32)
    """
    return _at(thresholds, curves.precisions, labels, predictions, weights)


@pair
def recall_at_thresholds(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    thresholds: Sequence[float],
    weights: ArrayLike | None = None,
) -> ThresholdCounts:
    """Recall at each threshold; 0 without positives.

    Arguments are those of `precision_at_thresholds`.

    Returns:
        (values of this batch, one per threshold, `ThresholdCounts` state).

    Raises:
        DataError: shapes do not match, or a prediction is not a probability.

    >>> import numpy as np
    >>> labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> recall_at_thresholds(labels, scores, [0.3, 0.5])[0]
    array([1. , 0.5], dtype=float32)
    """
    return _at(thresholds, curves.recalls, labels, predictions, weights)


@pair
def true_positives_at_thresholds(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    thresholds: Sequence[float],
    weights: ArrayLike | None = None,
) -> ThresholdCounts:
    """Number of true positives at each threshold.

    Arguments are those of `precision_at_thresholds`.

    Returns:
        (counts of this batch, one per threshold, `ThresholdCounts` state).

    Raises:
        DataError: shapes do not match, or a prediction is not a probability.

    >>> import numpy as np
    >>> labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> true_positives_at_thresholds(labels, scores, [0.3, 0.5])[0]
    array([2., 1.])
    """
    return _at(thresholds, curves.true_positives, labels, predictions, weights)


@pair
def true_negatives_at_thresholds(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    thresholds: Sequence[float],
    weights: ArrayLike | None = None,
) -> ThresholdCounts:
    """Number of true negatives at each threshold.

    Arguments are those of `precision_at_thresholds`.

    Returns:
        (counts of this batch, one per threshold, `ThresholdCounts` state).

    Raises:
        DataError: shapes do not match, or a prediction is not a probability.

    >>> import numpy as np
    >>> labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> true_negatives_at_thresholds(labels, scores, [0.3, 0.5])[0]
    array([1., 2.])
    """
    return _at(thresholds, curves.true_negatives, labels, predictions, weights)


@pair
def false_positives_at_thresholds(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    thresholds: Sequence[float],
    weights: ArrayLike | None = None,
) -> ThresholdCounts:
    """Number of false positives at each threshold.

    Arguments are those of `precision_at_thresholds`.

    Returns:
        (counts of this batch, one per threshold, `ThresholdCounts` state).

    Raises:
        DataError: shapes do not match, or a prediction is not a probability.

    >>> import numpy as np
    >>> labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> false_positives_at_thresholds(labels, scores, [0.3, 0.5])[0]
    array([1., 0.])
    """
    return _at(thresholds, curves.false_positives, labels, predictions, weights)


@pair
def false_negatives_at_thresholds(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    thresholds: Sequence[float],
    weights: ArrayLike | None = None,
) -> ThresholdCounts:
    """Number of false negatives at each threshold.

    Arguments are those of `precision_at_thresholds`.

    Returns:
        (counts of this batch, one per threshold, `ThresholdCounts` state).

    Raises:
        DataError: shapes do not match, or a prediction is not a probability.

    >>> import numpy as np
    >>> labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> false_negatives_at_thresholds(labels, scores, [0.3, 0.5])[0]
    array([0., 1.])
    """
    return _at(thresholds, curves.false_negatives, labels, predictions, weights)


def _at(
    thresholds: Sequence[float],
    read: Callable[[Confusions], Any],
    labels: ArrayLike,
    predictions: ArrayLike,
    weights: ArrayLike | None,
) -> ThresholdCounts:
    tensors = aligned(weights, labels=labels, predictions=predictions)
    return ThresholdCounts.from_batch(*tensors, thresholds=thresholds, read=read)
