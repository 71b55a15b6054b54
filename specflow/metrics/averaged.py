"""Precision, recall, F1 and IoU, averaged over classes as in scikit-learn."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal, Self, TypeAlias

import numpy as np
from jaxtyping import Num
from numpy.typing import NDArray

from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.metrics.exact import Exact, plus, ratio
from specflow.metrics.metric import Metric, same_settings, weight_sums
from specflow.metrics.metric_rows import as_classes, rows

__all__ = ["F1", "Average", "IoU", "Precision", "Recall"]

Average: TypeAlias = Literal["binary", "macro", "micro", "weighted"]
"""Averaging over classes, as in scikit-learn: the positive class alone; unweighted
mean; ratio of the summed counts; mean weighted by support (number of labels)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """Counts of one class, or sums of weights."""

    hits: Exact = 0
    """True positives."""
    predicted: Exact = 0
    actual: Exact = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            plus(self.hits, other.hits),
            plus(self.predicted, other.predicted),
            plus(self.actual, other.actual),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Averaged(Metric):
    counts: Mapping[int, Counts] = dataclasses.field(default_factory=dict)
    """Class -> counts, of each class that occurred as label or prediction."""
    average: Average = "binary"
    positive: int = 1
    undefined: float | None = None

    _numerator: ClassVar[Mapping[str, int]]
    """Count -> its factor in the numerator of the ratio of a class."""
    _denominator: ClassVar[Mapping[str, int]]

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."],
        predictions: Num[NDArray, "b ..."],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        average: Average = "binary",
        positive: int = 1,
        undefined: float | None = None,
    ) -> Self:
        """Builds the state of one batch.

        Args:
            labels: class indices.
            predictions: class indices, shaped as the labels.
            weights: sample weights, one per label or per row; 0 leaves it out.
            average: averaging over classes.
            positive: positive class, if `average` is binary (scikit-learn:
                `pos_label`).
            undefined: value of a class whose denominator is zero (scikit-learn:
                `zero_division`). None leaves such classes out of the average; if no
                class remains, the metric is NaN.

        Raises:
            DataError: shapes do not match, a value is not a class index, or there are
                more than two classes and `average` is binary.
        """
        name = cls.__name__
        label, prediction, weight = rows(
            name, {"labels": labels, "predictions": predictions}, weights
        )
        label = as_classes(name, "labels", label)
        prediction = as_classes(name, "predictions", prediction)
        classes, index = np.unique(
            np.concatenate([label, prediction]), return_inverse=True
        )
        actual, predicted = index[: label.size], index[label.size :]
        hit = actual == predicted
        columns = (
            weight_sums(
                actual[hit], classes.size, None if weight is None else weight[hit]
            ),
            weight_sums(predicted, classes.size, weight),
            weight_sums(actual, classes.size, weight),
        )
        counts = dict(zip(classes.tolist(), map(Counts, *columns), strict=True))
        return cls(counts, average, positive, undefined)

    def __post_init__(self) -> None:
        if self.average == "binary" and len(self.counts) > 2:
            raise DataError(
                Diagnostic(
                    type(self).__name__,
                    f"average is 'binary', but {len(self.counts)} classes occur",
                    expected="at most two classes",
                    hint="Set average to 'macro', 'micro' or 'weighted'.",
                    code="metric-values",
                )
            )

    def merge(self, other: Self) -> Self:
        if self == type(self)():
            return other
        if not other.counts:
            return self
        same_settings(self, other, "average", "positive", "undefined")
        counts = dict(self.counts)
        for name, added in other.counts.items():
            counts[name] = counts.get(name, Counts()) + added
        return dataclasses.replace(self, counts=counts)

    def compute(self) -> float:
        if not self.counts:
            return self._value(Counts())
        if self.average == "binary":
            return self._value(self.counts.get(self.positive, Counts()))
        if self.average == "micro":
            return self._value(sum(self.counts.values(), Counts()))
        values = [(self._value(count), count.actual) for count in self.counts.values()]
        defined = [
            (value, support) for value, support in values if not math.isnan(value)
        ]
        if self.average == "macro" or not any(support for _, support in defined):
            return _mean((value, 1) for value, _ in defined)
        return _mean(defined)

    def _value(self, counts: Counts) -> float:
        """Computes the metric of one class."""
        numerator = _combined(counts, self._numerator)
        denominator = _combined(counts, self._denominator)
        if not denominator and self.undefined is not None:
            return self.undefined
        return ratio(numerator, denominator)


class Precision(_Averaged):
    """Precision: TP / (TP + FP).

    >>> labels, predictions = np.array([1, 0, 1, 1]), np.array([1, 1, 1, 0])
    >>> Precision.from_batch(labels, predictions).compute()
    0.6666666666666666
    >>> Precision.from_batch(labels, np.zeros(4, int)).compute()
    nan
    """

    __slots__ = ()
    _numerator = {"hits": 1}
    _denominator = {"predicted": 1}


class Recall(_Averaged):
    """Recall: TP / (TP + FN).

    >>> labels, predictions = np.array([1, 0, 1, 0]), np.array([1, 1, 0, 0])
    >>> Recall.from_batch(labels, predictions).compute()
    0.5
    """

    __slots__ = ()
    _numerator = {"hits": 1}
    _denominator = {"actual": 1}


class F1(_Averaged):
    """F1 score: the harmonic mean of precision and recall.

    >>> labels, predictions = np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])
    >>> F1.from_batch(labels, predictions, average="micro").compute()
    0.75
    """

    __slots__ = ()
    _numerator = {"hits": 2}
    _denominator = {"predicted": 1, "actual": 1}


class IoU(_Averaged):
    """Intersection over union (Jaccard index): TP / (TP + FP + FN).

    >>> labels, predictions = np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])
    >>> IoU.from_batch(labels, predictions, average="macro").compute()
    0.6666666666666666
    """

    __slots__ = ()
    _numerator = {"hits": 1}
    _denominator = {"predicted": 1, "actual": 1, "hits": -1}


def _combined(counts: Counts, factors: Mapping[str, int]) -> Exact:
    return sum(factor * getattr(counts, name) for name, factor in factors.items())


def _mean(weighted: Iterable[tuple[float, Exact]]) -> float:
    """Computes a weighted mean; by `fsum`, since the order of classes varies."""
    terms = [(value * float(weight), float(weight)) for value, weight in weighted]
    if not terms:
        return math.nan
    products, weights = zip(*terms, strict=True)
    return math.fsum(products) / math.fsum(weights)
