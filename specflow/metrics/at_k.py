"""Precision, recall and average precision at k, for one or several labels per row."""

import math
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from numpy.typing import NDArray

from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.metrics.exact import Exact, exact_sum
from specflow.metrics.metric import Ratio, weight_sum
from specflow.metrics.metric_rows import as_classes, as_numbers, rows
from specflow.runtime.typing import describe

__all__ = ["AveragePrecisionAtK", "PrecisionAtK", "RecallAtK", "top_classes"]


class PrecisionAtK(Ratio):
    """Precision at k: fraction of the k highest-scored classes that are labels.

    >>> top = top_classes(np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]]), k=2)
    >>> PrecisionAtK.from_batch(np.array([[1, 2], [1, 1]]), top).compute()
    0.5
    """

    __slots__ = ()

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."] | Num[NDArray, "b ... n"],
        top: Num[NDArray, "b ... k"],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        class_id: int | None = None,
        undefined: float | None = None,
    ) -> Self:
        """Builds the state of one batch.

        Args:
            labels: class indices: one per row, or several on one more axis; a
                repeated label counts once.
            top: the k highest-scored classes of each row: `top_classes(scores, k=k)`.
            weights: sample weights, one per row; 0 leaves it out.
            class_id: class that is evaluated; None: all classes.
            undefined: value if the denominator is zero; None: NaN.

        Raises:
            DataError: shapes do not match, or a value is not a class index.
        """
        counts = _count(cls.__name__, labels, top, weights, class_id)
        return cls(counts.hits, counts.predicted, undefined)


class RecallAtK(Ratio):
    """Recall at k: fraction of the labels among the k highest-scored classes.

    >>> top = top_classes(np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]]), k=2)
    >>> RecallAtK.from_batch(np.array([1, 1]), top).compute()
    0.5
    """

    __slots__ = ()

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."] | Num[NDArray, "b ... n"],
        top: Num[NDArray, "b ... k"],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        class_id: int | None = None,
        undefined: float | None = None,
    ) -> Self:
        """Builds the state of one batch; arguments are those of
        `PrecisionAtK.from_batch`.

        Raises:
            DataError: shapes do not match, or a value is not a class index.
        """
        counts = _count(cls.__name__, labels, top, weights, class_id)
        return cls(counts.hits, counts.relevant, undefined)


class AveragePrecisionAtK(Ratio):
    """Mean average precision at k, over rows.

    The average precision of a row is the sum of the precision at the rank of each hit,
    divided by the number of its labels, at most k.

    >>> top = top_classes(np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]]), k=2)
    >>> AveragePrecisionAtK.from_batch(np.array([2, 0]), top).compute()
    0.75
    """

    __slots__ = ()

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."] | Num[NDArray, "b ... n"],
        top: Num[NDArray, "b ... k"],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        undefined: float | None = None,
    ) -> Self:
        """Builds the state of one batch.

        Args:
            labels: class indices: one per row, or several on one more axis; negative
                ones are ignored. A row without labels has no average precision, and
                makes the metric NaN.
            top: the k highest-scored classes of each row, in descending order.
            weights: sample weights, one per row; 0 leaves it out.
            undefined: value without rows; None: NaN.

        Raises:
            DataError: shapes do not match, or a value is not a class index.
        """
        label, predicted, weight = _labels_and_top(cls.__name__, labels, top, weights)
        hit = (predicted[:, :, None] == label[:, None, :]).any(-1) & (predicted >= 0)
        rank = 1 + np.arange(predicted.shape[1])
        relevant = np.minimum((label >= 0).sum(-1), rank.size)[:, None]
        with np.errstate(invalid="ignore"):
            terms = hit.cumsum(-1) * hit / rank / relevant
        factors = [terms.reshape(-1)]
        if weight is not None:
            factors.append(np.repeat(weight, rank.size))
        # One sum over all rows: sums of single rows would be rounded.
        return cls(exact_sum(*factors), weight_sum(len(label), weight), undefined)


def top_classes(
    scores: Float[NDArray, "b ... c"], *, k: int
) -> Int[NDArray, "b ... k"]:
    """Returns the k highest-scored classes, in descending order; ties by index.

    Args:
        scores: one per class, on the last axis. NaN ranks last.
        k: number of classes, in [1, c].

    Raises:
        DataError: k is out of range.

    >>> top_classes(np.array([[0.1, 0.7, 0.2]]), k=2)
    array([[1, 2]])
    """
    scores = np.asarray(scores)
    classes = scores.shape[-1] if scores.ndim else 0
    if not 1 <= k <= classes:
        raise DataError(
            Diagnostic(
                "top_classes",
                f"k is {k}",
                expected=f"1 to {classes}, the number of classes",
                code="metric-values",
            )
        )
    return np.argsort(-as_numbers(scores), axis=-1, kind="stable")[..., :k]


class _Counts(NamedTuple):
    hits: Exact
    predicted: Exact
    relevant: Exact


def _count(
    metric: str, labels: Any, top: Any, weights: Any, class_id: int | None
) -> _Counts:
    """Counts hits, predicted classes and labels, over all rows."""
    label, predicted, weight = _labels_and_top(metric, labels, top, weights)
    is_label, is_predicted = _first_occurrences(label), _first_occurrences(predicted)
    if class_id is not None:
        is_label &= label == class_id
        is_predicted &= predicted == class_id
    hit = is_label & (label[:, :, None] == predicted[:, None, :]).any(-1)
    factors = () if weight is None else (weight,)
    masks = (hit, is_predicted, is_label)
    return _Counts(*(exact_sum(mask.sum(-1), *factors) for mask in masks))


def _labels_and_top(
    metric: str, labels: Any, top: Any, weights: Any
) -> tuple[Int[NDArray, "n l"], Int[NDArray, "n k"], Float[NDArray, " n"] | None]:
    """Returns labels, highest-scored classes and weights of rows of weight above 0."""
    labels, top = np.asarray(labels), np.asarray(top)
    label_sets = labels if labels.ndim == top.ndim else labels[..., None]
    if top.ndim < 2 or label_sets.shape[:-1] != top.shape[:-1]:
        raise DataError(
            Diagnostic(
                metric,
                f"labels are {describe(labels)}, top classes are {describe(top)}",
                expected="k classes per row, on the last axis, and one label per row "
                "or one more axis of labels",
                code="metric-shapes",
            )
        )
    indices = np.arange(math.prod(top.shape[:-1])).reshape(top.shape[:-1])
    row, weight = rows(metric, {"rows": indices}, weights)
    label, predicted = (
        as_classes(
            metric, name, array.reshape(indices.size, array.shape[-1])[row].reshape(-1)
        )
        for name, array in (("labels", label_sets), ("top classes", top))
    )
    return (
        label.reshape(row.size, label_sets.shape[-1]),
        predicted.reshape(row.size, top.shape[-1]),
        weight,
    )


def _first_occurrences(values: Int[NDArray, "n m"]) -> Bool[NDArray, "n m"]:
    """Masks the first occurrence of each value in its row."""
    equal = values[:, :, None] == values[:, None, :]
    return ~np.tril(equal, -1).any(-1)
