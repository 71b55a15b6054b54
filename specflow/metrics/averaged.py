"""Precision, recall, F1, IoU: a ratio for each class, put together in one number."""

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
"""How classes are put together, in scikit-learn's words: the positive class alone;
their plain mean; all their counts in one ratio; their mean, weighted by how often each
is the label."""


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """How often one class was met, or the sum of the weights."""

    hits: Exact = 0
    """As label and prediction at once."""
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
    """Of each class that was a label or a prediction so far."""
    average: Average = "binary"
    positive: int = 1
    undefined: float | None = None

    _numerator: ClassVar[Mapping[str, int]]
    """Which counts go into the ratio of a class, and how often."""
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
        """The state of one batch.

        Args:
            labels: class numbers.
            predictions: class numbers, shaped as the labels.
            weights: of each label, or of each row for all its labels; 0 leaves it out.
            average: how classes are put together.
            positive: the class that counts when `average` is binary.
            undefined: value of a class with nothing to divide by (scikit-learn's
                `zero_division`). None leaves such classes out of an average; without
                any other the metric is NaN.

        Raises:
            DataError: shapes do not fit, a value is no class, or there are more than
                two classes and `average` is binary.
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
        for name, more in other.counts.items():
            counts[name] = counts.get(name, Counts()) + more
        return dataclasses.replace(self, counts=counts)

    def compute(self) -> float:
        if not self.counts:
            return self._value(Counts())
        if self.average == "binary":
            return self._value(self.counts.get(self.positive, Counts()))
        if self.average == "micro":
            return self._value(sum(self.counts.values(), Counts()))
        values = [(self._value(count), count.actual) for count in self.counts.values()]
        defined = [(value, share) for value, share in values if not math.isnan(value)]
        if self.average == "macro" or not any(share for _, share in defined):
            return _mean((value, 1) for value, _ in defined)
        return _mean(defined)

    def _value(self, counts: Counts) -> float:
        """The metric of one class."""
        top = _combined(counts, self._numerator)
        bottom = _combined(counts, self._denominator)
        if not bottom and self.undefined is not None:
            return self.undefined
        return ratio(top, bottom)


class Precision(_Averaged):
    """True positives over predicted positives.

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
    """True positives over actual positives.

    >>> labels, predictions = np.array([1, 0, 1, 0]), np.array([1, 1, 0, 0])
    >>> Recall.from_batch(labels, predictions).compute()
    0.5
    """

    __slots__ = ()
    _numerator = {"hits": 1}
    _denominator = {"actual": 1}


class F1(_Averaged):
    """The harmonic mean of precision and recall.

    >>> labels, predictions = np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])
    >>> F1.from_batch(labels, predictions, average="micro").compute()
    0.75
    """

    __slots__ = ()
    _numerator = {"hits": 2}
    _denominator = {"predicted": 1, "actual": 1}


class IoU(_Averaged):
    """Intersection over union: right ones over those that are label or prediction.

    >>> labels, predictions = np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])
    >>> IoU.from_batch(labels, predictions, average="macro").compute()
    0.6666666666666666
    """

    __slots__ = ()
    _numerator = {"hits": 1}
    _denominator = {"predicted": 1, "actual": 1, "hits": -1}


def _combined(counts: Counts, factors: Mapping[str, int]) -> Exact:
    return sum(factor * getattr(counts, name) for name, factor in factors.items())


def _mean(shares: Iterable[tuple[float, Exact]]) -> float:
    """The mean of values by their shares; fsum, because classes come in any order."""
    values = [(value * float(share), float(share)) for value, share in shares]
    if not values:
        return math.nan
    return math.fsum(top for top, _ in values) / math.fsum(down for _, down in values)
