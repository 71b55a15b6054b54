"""Precision and recall at k, under their names in `tf.metrics`."""

import numpy as np
from jaxtyping import Float, Int, Num
from numpy.typing import ArrayLike, NDArray

from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.metrics.at_k import (
    AveragePrecisionAtK,
    PrecisionAtK,
    RecallAtK,
    top_classes,
)
from specflow.runtime.typing import describe
from specflow.tf.metrics.value_and_state import broadcast, pair

__all__ = [
    "average_precision_at_k",
    "precision_at_k",
    "precision_at_top_k",
    "recall_at_k",
    "recall_at_top_k",
]


@pair
def precision_at_k(
    labels: Num[NDArray, "b ..."] | Num[NDArray, "b ... n"],
    predictions: Float[NDArray, "b ... c"],
    k: int,
    class_id: int | None = None,
    weights: ArrayLike | None = None,
) -> PrecisionAtK:
    """Precision at k: fraction of the k highest-scored classes that are labels.

    Args:
        labels: class indices: one per row, or several on one more axis.
        predictions: one score per class, on the last axis.
        k: number of highest scores that are considered, in [1, c].
        class_id: class that is evaluated; None: all. NaN if it is never among the k.
        weights: sample weights, a scalar or shaped as the rows (axes of size 1
            broadcast); 0 masks.

    Returns:
        (value of this batch, `PrecisionAtK` state).

    Raises:
        DataError: shapes do not match, a label is not a class index, or k is out of
            range.

    >>> scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]])
    >>> precision_at_k(np.array([[1, 2], [1, 1]]), scores, k=2)[0]
    0.5
    """
    top = top_classes(predictions, k=k)
    weight = broadcast(weights, top.shape[:-1])
    return PrecisionAtK.from_batch(labels, top, weight, class_id=class_id)


@pair
def recall_at_k(
    labels: Num[NDArray, "b ..."] | Num[NDArray, "b ... n"],
    predictions: Float[NDArray, "b ... c"],
    k: int,
    class_id: int | None = None,
    weights: ArrayLike | None = None,
) -> RecallAtK:
    """Recall at k: fraction of the labels among the k highest-scored classes.

    Args:
        labels: class indices: one per row, or several on one more axis; an
            index outside of the scores is a miss.
        predictions: one score per class, on the last axis.
        k: number of highest scores that are considered, in [1, c].
        class_id: class that is evaluated; None: all. NaN if it is never a label.
        weights: sample weights, a scalar or shaped as the rows (axes of size 1
            broadcast); 0 masks.

    Returns:
        (value of this batch, `RecallAtK` state).

    Raises:
        DataError: shapes do not match, a label is not a class index, or k is out of
            range.

    >>> scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]])
    >>> recall_at_k(np.array([1, 1]), scores, k=2)[0]
    0.5
    """
    top = top_classes(predictions, k=k)
    weight = broadcast(weights, top.shape[:-1])
    return RecallAtK.from_batch(labels, top, weight, class_id=class_id)


@pair
def average_precision_at_k(
    labels: Num[NDArray, "b ..."] | Num[NDArray, "b ... n"],
    predictions: Float[NDArray, "b ... c"],
    k: int,
    weights: ArrayLike | None = None,
) -> AveragePrecisionAtK:
    """Mean average precision at k, over rows.

    Args:
        labels: class indices: one per row, or several on one more axis.
            Indices outside of the scores are ignored; a row without any label makes the
            metric NaN.
        predictions: one score per class, on the last axis.
        k: number of highest scores that are considered, in [1, c].
        weights: sample weights, a scalar or shaped as the rows (axes of size 1
            broadcast); 0 masks.

    Returns:
        (value of this batch, `AveragePrecisionAtK` state); 0 without rows.

    Raises:
        DataError: shapes do not match, a label is not a class index, or k is out of
            range.

    >>> scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]])
    >>> average_precision_at_k(np.array([2, 0]), scores, k=2)[0]
    0.75
    """
    top = top_classes(predictions, k=k)
    label = np.asarray(labels)
    label = np.where(label < np.shape(predictions)[-1], label, -1)
    weight = broadcast(weights, top.shape[:-1])
    return AveragePrecisionAtK.from_batch(label, top, weight, undefined=0.0)


@pair
def precision_at_top_k(
    labels: Num[NDArray, "b ..."] | Num[NDArray, "b ... n"],
    predictions_idx: Int[NDArray, "b ... k"],
    k: int | None = None,
    class_id: int | None = None,
    weights: ArrayLike | None = None,
) -> PrecisionAtK:
    """Precision at k, from the indices of the highest-scored classes.

    Args:
        labels: class indices: one per row, or several on one more axis.
        predictions_idx: indices of the highest-scored classes, on the last axis.
        k: expected size of that axis; None: not checked.
        class_id: class that is evaluated; None: all. NaN if it is never predicted.
        weights: sample weights, a scalar or shaped as the rows (axes of size 1
            broadcast); 0 masks.

    Returns:
        (value of this batch, `PrecisionAtK` state).

    Raises:
        DataError: shapes do not match, or a value is not a class index.

    >>> precision_at_top_k(np.array([2, 0]), np.array([[1, 2], [1, 2]]))[0]
    0.25
    """
    top = _check_top(predictions_idx, k)
    weight = broadcast(weights, top.shape[:-1])
    return PrecisionAtK.from_batch(labels, top, weight, class_id=class_id)


@pair
def recall_at_top_k(
    labels: Num[NDArray, "b ..."] | Num[NDArray, "b ... n"],
    predictions_idx: Int[NDArray, "b ... k"],
    k: int | None = None,
    class_id: int | None = None,
    weights: ArrayLike | None = None,
) -> RecallAtK:
    """Recall at k, from the indices of the highest-scored classes.

    Arguments are those of `precision_at_top_k`.

    Returns:
        (value of this batch, `RecallAtK` state).

    Raises:
        DataError: shapes do not match, or a value is not a class index.

    >>> recall_at_top_k(np.array([2, 0]), np.array([[1, 2], [1, 2]]))[0]
    0.5
    """
    top = _check_top(predictions_idx, k)
    weight = broadcast(weights, top.shape[:-1])
    return RecallAtK.from_batch(labels, top, weight, class_id=class_id)


def _check_top(indices: ArrayLike, k: int | None) -> Int[NDArray, "b ... k"]:
    top = np.asarray(indices)
    if k is not None and top.shape[-1:] != (k,):
        raise DataError(
            Diagnostic(
                "at_top_k",
                f"predictions_idx are {describe(top)}",
                expected=f"{k} classes per row, on the last axis",
                code="metric-shapes",
            )
        )
    return top
