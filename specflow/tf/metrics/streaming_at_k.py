"""What the k best classes are worth, under its name in tf.metrics."""

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
    """The share of the k highest scored classes that are labels of their row.

    Args:
        labels: class numbers: one a row, or several on one axis more.
        predictions: a score for each class on the last axis.
        k: how many classes of each row count; from 1 to c.
        class_id: the one class that counts; NaN where it is never among the k.
        weights: one for all, or shaped as the rows with axes of size 1; 0 masks.

    Returns:
        (value of this batch, `PrecisionAtK` state).

    Raises:
        DataError: shapes do not fit, a label is no class number, or k is out of range.

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
    """The share of the labels that are among the k highest scored of their row.

    Args:
        labels: class numbers: one a row, or several on one axis more; one that is no
            class of the scores is never found.
        predictions: a score for each class on the last axis.
        k: how many classes of each row count; from 1 to c.
        class_id: the one class that counts; NaN where it is never a label.
        weights: one for all, or shaped as the rows with axes of size 1; 0 masks.

    Returns:
        (value of this batch, `RecallAtK` state).

    Raises:
        DataError: shapes do not fit, a label is no class number, or k is out of range.

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
    """The mean over rows of the precision at each label among the k highest scored.

    Args:
        labels: class numbers: one a row, or several on one axis more. What is no class
            of the scores is ignored; a row without any label makes the metric NaN.
        predictions: a score for each class on the last axis.
        k: how many classes of each row count; from 1 to c.
        weights: one for all, or shaped as the rows with axes of size 1; 0 masks.

    Returns:
        (value of this batch, `AveragePrecisionAtK` state); 0 of no rows.

    Raises:
        DataError: shapes do not fit, a label is no class number, or k is out of range.

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
    """`precision_at_k` of classes that were chosen before.

    Args:
        labels: class numbers: one a row, or several on one axis more.
        predictions_idx: the classes chosen for each row, on the last axis.
        k: their number, if it is to be checked.
        class_id: the one class that counts; NaN where it is never chosen.
        weights: one for all, or shaped as the rows with axes of size 1; 0 masks.

    Returns:
        (value of this batch, `PrecisionAtK` state).

    Raises:
        DataError: shapes do not fit, or a value is no class number.

    >>> precision_at_top_k(np.array([2, 0]), np.array([[1, 2], [1, 2]]))[0]
    0.25
    """
    top = _chosen(predictions_idx, k)
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
    """`recall_at_k` of classes that were chosen before.

    Arguments are those of `precision_at_top_k`.

    Returns:
        (value of this batch, `RecallAtK` state).

    Raises:
        DataError: shapes do not fit, or a value is no class number.

    >>> recall_at_top_k(np.array([2, 0]), np.array([[1, 2], [1, 2]]))[0]
    0.5
    """
    top = _chosen(predictions_idx, k)
    weight = broadcast(weights, top.shape[:-1])
    return RecallAtK.from_batch(labels, top, weight, class_id=class_id)


def _chosen(indices: ArrayLike, k: int | None) -> Int[NDArray, "b ... k"]:
    chosen = np.asarray(indices)
    if k is not None and chosen.shape[-1:] != (k,):
        raise DataError(
            Diagnostic(
                "at_top_k",
                f"predictions_idx are {describe(chosen)}",
                expected=f"{k} classes a row, on the last axis",
                code="metric-shapes",
            )
        )
    return chosen
