"""Classification metrics, under their names in `tf.metrics`."""

import numpy as np
from jaxtyping import Num, Shaped
from numpy.typing import ArrayLike, DTypeLike, NDArray

from specflow.metrics.averaged import IoU, Precision, Recall
from specflow.metrics.classification import Accuracy
from specflow.metrics.metric_rows import as_classes, rows
from specflow.metrics.per_class import PerClassAccuracy
from specflow.metrics.sum import Sum
from specflow.tf.metrics.value_and_state import aligned, pair

__all__ = [
    "accuracy",
    "false_negatives",
    "false_positives",
    "mean_iou",
    "mean_per_class_accuracy",
    "precision",
    "recall",
    "true_negatives",
    "true_positives",
]


@pair
def accuracy(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    weights: ArrayLike | None = None,
    *,
    undefined: float | None = 0.0,
) -> Accuracy:
    """Accuracy classification score; predictions are cast to the type of the labels.

    Args:
        labels: true classes, of any numeric type.
        predictions: predicted classes, not scores; shaped as the labels. For integer
            labels, 1.7 is cast to class 1.
        weights: sample weights, a scalar or shaped as the labels (axes of size 1
            broadcast); 0 masks.
        undefined: value without rows, as `zero_division` of scikit-learn; None: NaN.

    Returns:
        (value of this batch, `Accuracy` state).

    Raises:
        DataError: shapes do not match, or a weight is negative or not finite.

    >>> accuracy(np.array([1, 2, 3, 4]), np.array([1.0, 2.0, 0.0, 4.0]))[0]
    0.75
    """
    label, prediction, weight = aligned(weights, labels=labels, predictions=predictions)
    hit = label == _cast(prediction, label.dtype)
    return Accuracy.from_batch(np.ones_like(hit), hit, weight, undefined=undefined)


@pair
def precision(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    weights: ArrayLike | None = None,
    *,
    undefined: float | None = 0.0,
) -> Precision:
    """Precision of binary classification: TP / (TP + FP); nonzero is positive.

    Args:
        labels: true labels, cast to bool.
        predictions: predicted labels, shaped as the labels; cast to bool, so compare
            probabilities with a threshold first.
        weights: sample weights, a scalar or shaped as the labels (axes of size 1
            broadcast); 0 masks.
        undefined: value without predicted positives; None: NaN.

    Returns:
        (value of this batch, `Precision` state).

    Raises:
        DataError: shapes do not match, or a weight is negative or not finite.

    >>> precision(np.array([1, 0, 1, 1]), np.array([1, 1, 0, 0]))[0]
    0.5
    """
    label, prediction, weight = _as_bools(labels, predictions, weights)
    return Precision.from_batch(label, prediction, weight, undefined=undefined)


@pair
def recall(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    weights: ArrayLike | None = None,
    *,
    undefined: float | None = 0.0,
) -> Recall:
    """Recall of binary classification: TP / (TP + FN); nonzero is positive.

    Args:
        labels: true labels, cast to bool.
        predictions: predicted labels, shaped as the labels; cast to bool, so compare
            probabilities with a threshold first.
        weights: sample weights, a scalar or shaped as the labels (axes of size 1
            broadcast); 0 masks.
        undefined: value without positives; None: NaN.

    Returns:
        (value of this batch, `Recall` state).

    Raises:
        DataError: shapes do not match, or a weight is negative or not finite.

    >>> recall(np.array([1, 0, 1, 1, 1]), np.array([1, 1, 0, 0, 0]))[0]
    0.25
    """
    label, prediction, weight = _as_bools(labels, predictions, weights)
    return Recall.from_batch(label, prediction, weight, undefined=undefined)


@pair
def true_positives(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    weights: ArrayLike | None = None,
) -> Sum:
    """Number of true positives, or the sum of their weights.

    Args:
        labels: true labels, cast to bool.
        predictions: predicted labels, shaped as the labels; cast to bool.
        weights: sample weights, a scalar or shaped as the labels (axes of size 1
            broadcast); 0 masks.

    Returns:
        (number in this batch, `Sum` state).

    Raises:
        DataError: shapes do not match, or a weight is negative or not finite.

    >>> true_positives(np.array([1, 0, 1]), np.array([1, 1, 0]))[0]
    1.0
    """
    label, prediction, weight = _as_bools(labels, predictions, weights)
    return Sum.from_batch(label & prediction, weight)


@pair
def true_negatives(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    weights: ArrayLike | None = None,
) -> Sum:
    """Number of true negatives, or the sum of their weights.

    Arguments are those of `true_positives`.

    Returns:
        (number in this batch, `Sum` state).

    Raises:
        DataError: shapes do not match, or a weight is negative or not finite.

    >>> true_negatives(np.array([1, 0, 0]), np.array([1, 0, 0]), weights=0.5)[0]
    1.0
    """
    label, prediction, weight = _as_bools(labels, predictions, weights)
    return Sum.from_batch(~label & ~prediction, weight)


@pair
def false_positives(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    weights: ArrayLike | None = None,
) -> Sum:
    """Number of false positives, or the sum of their weights.

    Arguments are those of `true_positives`.

    Returns:
        (number in this batch, `Sum` state).

    Raises:
        DataError: shapes do not match, or a weight is negative or not finite.

    >>> false_positives(np.array([1, 0, 0]), np.array([1, 1, 1]))[0]
    2.0
    """
    label, prediction, weight = _as_bools(labels, predictions, weights)
    return Sum.from_batch(~label & prediction, weight)


@pair
def false_negatives(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    weights: ArrayLike | None = None,
) -> Sum:
    """Number of false negatives, or the sum of their weights.

    Arguments are those of `true_positives`.

    Returns:
        (number in this batch, `Sum` state).

    Raises:
        DataError: shapes do not match, or a weight is negative or not finite.

    >>> false_negatives(np.array([1, 0, 1]), np.array([0, 1, 0]))[0]
    2.0
    """
    label, prediction, weight = _as_bools(labels, predictions, weights)
    return Sum.from_batch(label & ~prediction, weight)


@pair
def mean_per_class_accuracy(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    num_classes: int,
    weights: ArrayLike | None = None,
    *,
    undefined: float | None = 0.0,
) -> PerClassAccuracy:
    """Balanced accuracy: the mean over classes of their recall.

    Args:
        labels: class indices in [0, num_classes).
        predictions: class indices, shaped as the labels; cast to integers.
        num_classes: number of classes.
        weights: sample weights, a scalar or shaped as the labels (axes of size 1
            broadcast); 0 masks.
        undefined: recall of a class without labels; None leaves it out of the mean.

    Returns:
        (value of this batch, `PerClassAccuracy` state).

    Raises:
        DataError: shapes do not match, a label is not a class index, or a weight is
            negative or not finite.

    >>> labels, predictions = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    >>> mean_per_class_accuracy(labels, predictions, num_classes=3)[0]
    0.5
    """
    label, prediction, weight = aligned(weights, labels=labels, predictions=predictions)
    return PerClassAccuracy.from_batch(
        _cast(label, np.int64),
        _cast(prediction, np.int64),
        weight,
        classes=num_classes,
        undefined=undefined,
    )


@pair
def mean_iou(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    num_classes: int,
    weights: ArrayLike | None = None,
    *,
    undefined: float | None = 0.0,
) -> IoU:
    """Mean intersection over union (Jaccard index); absent classes are left out.

    Args:
        labels: class indices in [0, num_classes).
        predictions: class indices in [0, num_classes), shaped as the labels.
        num_classes: number of classes.
        weights: sample weights, a scalar or shaped as the labels (axes of size 1
            broadcast); 0 masks.
        undefined: value without rows, as `zero_division` of scikit-learn; None: NaN.

    Returns:
        (value of this batch, `IoU` state).

    Raises:
        DataError: shapes do not match, a value is not a class index, or a weight is
            negative or not finite.

    >>> labels, predictions = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    >>> round(mean_iou(labels, predictions, num_classes=3)[0], 6)
    0.583333
    """
    label, prediction, weight = aligned(weights, labels=labels, predictions=predictions)
    tensors = {
        "labels": _cast(label, np.int64),
        "predictions": _cast(prediction, np.int64),
    }
    label, prediction, weight = rows("", tensors, weight)
    return IoU.from_batch(
        as_classes("", "labels", label, classes=num_classes),
        as_classes("", "predictions", prediction, classes=num_classes),
        weight,
        average="macro",
        undefined=undefined,
    )


def _as_bools(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None
) -> tuple[NDArray[np.bool], NDArray[np.bool], NDArray | None]:
    label, prediction, weight = aligned(weights, labels=labels, predictions=predictions)
    return label.astype(bool), prediction.astype(bool), weight


def _cast(values: Shaped[NDArray, "..."], dtype: DTypeLike) -> Shaped[NDArray, "..."]:
    # NaN is cast to an arbitrary integer, which is an error unless its row is masked.
    with np.errstate(invalid="ignore"):
        return values.astype(dtype)
