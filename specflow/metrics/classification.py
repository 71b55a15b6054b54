"""Accuracy, top-k accuracy and the confusion matrix."""

import dataclasses
from typing import Self

import numpy as np
from jaxtyping import Bool, Int, Num
from numpy.typing import NDArray

from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.metrics.exact import exact_sums
from specflow.metrics.metric import AnyRatio, Metric, Ratio, weight_sum
from specflow.metrics.metric_rows import as_classes, as_numbers, rows
from specflow.runtime.typing import describe, is_floating

__all__ = ["Accuracy", "ConfusionMatrix", "TopK"]


class Accuracy(Ratio):
    """Accuracy classification score: fraction of predictions that equal the label.

    >>> labels, predictions = np.array([0, 2]), np.array([0, 1])
    >>> Accuracy.from_batch(labels, predictions).compute()
    0.5
    >>> Accuracy.from_batch(labels, np.array([[0.9, 0.1, 0], [0, 0, 0.5]])).compute()
    1.0
    """

    __slots__ = ()

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."],
        predictions: Num[NDArray, "b ..."] | Num[NDArray, "b ... c"],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        undefined: float | None = None,
    ) -> Self:
        """Builds the state of one batch.

        Args:
            labels: class indices.
            predictions: class indices, shaped as the labels; or floating-point scores
                with a last axis of classes, whose argmax is taken (ties by index; NaN
                is never a hit).
            weights: sample weights, one per label or per row; 0 leaves it out.
            undefined: value without rows; None: NaN.

        Raises:
            DataError: shapes do not match, or a value is not a class index.
        """
        if np.ndim(predictions) == np.ndim(labels) + 1:
            return _top_k(
                cls, "predictions", labels, predictions, weights, 1, undefined
            )
        label, prediction, weight = rows(
            cls.__name__, {"labels": labels, "predictions": predictions}, weights
        )
        hit = as_classes(cls.__name__, "labels", label) == as_classes(
            cls.__name__, "predictions", prediction
        )
        return _fraction(cls, hit, weight, undefined)


class TopK(Ratio):
    """Top-k accuracy: fraction of rows whose label is among the k highest scores.

    Ties are broken by class index, so `k=1` is the accuracy of the argmax. NaN is never
    a hit.

    >>> scores = np.array([[0.1, 0.7, 0.2], [0.0, 0.6, 0.4]])
    >>> TopK.from_batch(np.array([2, 0]), scores, k=2).compute()
    0.5
    """

    __slots__ = ()

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."],
        scores: Num[NDArray, "b ... c"],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        k: int,
        undefined: float | None = None,
    ) -> Self:
        """Builds the state of one batch.

        Args:
            labels: class indices in [0, c).
            scores: one per class, on the last axis; logits or probabilities.
            weights: sample weights, one per label or per row; 0 leaves it out.
            k: number of highest scores that are considered, in [1, c].
            undefined: value without rows; None: NaN.

        Raises:
            DataError: shapes do not match, a label is not a class index, or k is out of
                range.
        """
        return _top_k(cls, "scores", labels, scores, weights, k, undefined)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ConfusionMatrix(Metric):
    """Confusion matrix: counts by label (row) and prediction (column).

    >>> labels, predictions = np.array([0, 1, 1]), np.array([0, 0, 1])
    >>> ConfusionMatrix.from_batch(labels, predictions, classes=2).compute()
    array([[1, 0],
           [1, 1]])
    """

    counts: NDArray = dataclasses.field(
        default_factory=lambda: np.zeros((0, 0), np.int64)
    )
    """int64; with weights, exact numbers as objects. Size 0: no rows yet."""

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."],
        predictions: Num[NDArray, "b ..."],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        classes: int,
    ) -> Self:
        """Builds the state of one batch.

        Args:
            labels: class indices in [0, classes).
            predictions: class indices in [0, classes), shaped as the labels.
            weights: sample weights, one per label or per row; 0 leaves it out.
            classes: number of classes.

        Raises:
            DataError: shapes do not match, or a value is not a class index.
        """
        name = cls.__name__
        label, prediction, weight = rows(
            name, {"labels": labels, "predictions": predictions}, weights
        )
        label = as_classes(name, "labels", label, classes=classes)
        prediction = as_classes(name, "predictions", prediction, classes=classes)
        cell = label * classes + prediction
        if weight is None:
            counts = np.bincount(cell, minlength=classes**2)
        else:
            counts = np.array(exact_sums(weight, cell, classes**2), dtype=object)
        return cls(counts.reshape(classes, classes))

    def merge(self, other: Self) -> Self:
        if not self.counts.size or not other.counts.size:
            return self if self.counts.size else other
        if self.counts.shape != other.counts.shape:
            raise DataError(
                Diagnostic(
                    type(self).__name__,
                    f"states of {len(self.counts)} and of {len(other.counts)} classes",
                    expected="the same number of classes in every batch",
                    code="metric-shapes",
                )
            )
        return type(self)(self.counts + other.counts)

    def compute(self) -> Num[NDArray, "c c"]:
        """Returns counts as int64; with weights, as float64."""
        weighted = self.counts.dtype == object
        return self.counts.astype(np.float64 if weighted else np.int64)


def _top_k(
    metric: type[AnyRatio],
    name: str,
    labels: Num[NDArray, "b ..."],
    scores: Num[NDArray, "b ... c"],
    weights: Num[NDArray, "b ..."] | None,
    k: int,
    undefined: float | None,
) -> AnyRatio:
    label, score, weight = rows(
        metric.__name__, {"labels": labels, name: scores}, weights, per_class=name
    )
    classes = score.shape[-1]
    if not is_floating(score.dtype) or classes < 2:
        raise DataError(
            Diagnostic(
                metric.__name__,
                f"{name} are {describe(np.asarray(scores))}",
                expected="a floating-point score for each of at least two classes, on "
                "the last axis",
                code="metric-shapes",
            )
        )
    if not 1 <= k <= classes:
        raise DataError(
            Diagnostic(
                metric.__name__,
                f"k is {k}",
                expected=f"1 to {classes}, the number of classes in {name}",
                code="metric-values",
            )
        )
    label = as_classes(metric.__name__, "labels", label, classes=classes)
    return _fraction(metric, _in_top_k(score, label, k), weight, undefined)


def _in_top_k(
    scores: Num[NDArray, "n c"], label: Int[NDArray, " n"], k: int
) -> Bool[NDArray, " n"]:
    """Masks the rows in which fewer than `k` classes rank before the label."""
    if scores.dtype not in (np.float32, np.float64):
        scores = as_numbers(scores)
    own = scores[np.arange(len(label)), label][:, None]
    # Negated <=, since a NaN on either side ranks before the label and is no hit.
    before = ~(scores <= own)
    before |= (scores == own) & (np.arange(scores.shape[-1]) < label[:, None])
    return (before.sum(-1) < k) & ~np.isnan(own[:, 0])


def _fraction(
    metric: type[AnyRatio],
    hit: Bool[NDArray, " n"],
    weight: NDArray | None,
    undefined: float | None,
) -> AnyRatio:
    hits = weight_sum(
        int(np.count_nonzero(hit)), None if weight is None else weight[hit]
    )
    return metric(hits, weight_sum(hit.size, weight), undefined)
