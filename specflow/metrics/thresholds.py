"""Confusion matrices at decision thresholds, from a histogram of scores."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
from jaxtyping import Float, Int, Num
from numpy.typing import NDArray

from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.metrics.exact import Exact, plus
from specflow.metrics.metric import Metric, same_settings, weight_sums
from specflow.metrics.metric_rows import as_numbers, refuse_rows, rows

__all__ = ["Confusions", "ThresholdCounts"]

Confusions: TypeAlias = Float[np.ndarray, "t 2 2"]
"""At each threshold, counts by label (row) and prediction (column), negative first."""

Histogram: TypeAlias = Int[NDArray, " bins"] | tuple[Exact, ...]
"""Number of rows between adjacent thresholds, ascending; or sums of their weights."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ThresholdCounts(Metric):
    """Confusion matrix at each threshold; a score above is a positive prediction.

    The state is a histogram of the scores, whose size does not depend on the number of
    rows. Scores and thresholds are compared as float32.

    >>> labels, scores = np.array([0, 1, 1]), np.array([0.1, 0.4, 0.8])
    >>> counts = ThresholdCounts.from_batch(labels, scores, thresholds=[0.5])
    >>> counts.compute()
    array([[[1., 0.],
            [1., 1.]]])
    """

    negatives: Histogram = ()
    """Histogram of the scores of negative labels."""
    positives: Histogram = ()
    """Histogram of the scores of positive labels."""
    thresholds: tuple[float, ...] = ()
    """Thresholds in the order of the caller; empty: no rows yet."""
    read: Callable[[Confusions], Any] | None = None
    """Function from counts to the value of the metric; None: the counts."""

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."],
        scores: Num[NDArray, "b ..."],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        thresholds: Sequence[float],
        read: Callable[[Confusions], Any] | None = None,
    ) -> Self:
        """Builds the state of one batch.

        Args:
            labels: true labels: 0 is negative, any other value positive.
            scores: probabilities of the positive class in [0, 1], shaped as the labels.
            weights: sample weights, one per label or per row; 0 leaves it out.
            thresholds: decision thresholds, at least one, in any order.
            read: function from the counts at each threshold to the value, as in
                `specflow.metrics.curves`; the same for every batch.

        Raises:
            DataError: shapes do not match, or a score is not a probability.
        """
        name = cls.__name__
        label, score, weight = rows(name, {"labels": labels, "scores": scores}, weights)
        if score.size and not (score.min() >= 0 and score.max() <= 1):
            refuse_rows(
                name,
                "scores",
                score,
                ~((score >= 0) & (score <= 1)),
                expected="probabilities from 0 to 1",
                hint="Take the sigmoid of logits.",
            )
        try:
            limits, ascending = _limits(tuple(thresholds))
        except (TypeError, ValueError):
            raise DataError(
                Diagnostic(
                    name,
                    f"thresholds are {thresholds!r}",
                    expected="a list of at least one number",
                    code="metric-values",
                )
            ) from None
        if score.dtype != np.float32:
            score = as_numbers(score).astype(np.float32)
        bins = ascending.searchsorted(score)
        # One histogram, in which positive labels follow the negative ones.
        count = len(limits) + 1
        bins += count * (label != 0)
        if weight is None:
            both = np.bincount(bins, minlength=2 * count)
            return cls(both[:count], both[count:], limits, read)
        sums = tuple(weight_sums(bins, 2 * count, weight))
        return cls(sums[:count], sums[count:], limits, read)

    def merge(self, other: Self) -> Self:
        if not self.thresholds or not other.thresholds:
            return self if self.thresholds else other
        same_settings(self, other, "thresholds", "read")
        return type(self)(
            _sum(self.negatives, other.negatives),
            _sum(self.positives, other.positives),
            self.thresholds,
            self.read,
        )

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (
            self.thresholds == other.thresholds
            and self.read == other.read
            and _numbers(self.negatives) == _numbers(other.negatives)
            and _numbers(self.positives) == _numbers(other.positives)
        )

    __hash__ = None  # type: ignore[assignment]

    def compute(self) -> Any:
        """Computes float64 counts "t 2 2", or the value of `read` for them."""
        rank = np.argsort(np.argsort(self.thresholds, kind="stable"), kind="stable")
        counts = np.array(
            [_below_and_above(side) for side in (self.negatives, self.positives)]
        )
        confusions = counts.transpose(2, 0, 1)[rank]
        return confusions if self.read is None else self.read(confusions)


@functools.lru_cache(maxsize=64)
def _limits(
    thresholds: tuple[float, ...],
) -> tuple[tuple[float, ...], Float[NDArray, " t"]]:
    """Returns thresholds as float32, in the order of the caller and ascending.

    Raises:
        ValueError: there are none, or one is no number.
    """
    limits = np.asarray(thresholds, np.float32)
    if limits.ndim != 1 or not limits.size or np.isnan(limits).any():
        raise ValueError(thresholds)
    return tuple(limits.tolist()), np.sort(limits)


def _sum(a: Histogram, b: Histogram) -> Histogram:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a + b
    return tuple(map(plus, _numbers(a), _numbers(b)))


def _numbers(histogram: Histogram) -> list[Exact]:
    """Returns a histogram as exact numbers of Python."""
    if isinstance(histogram, np.ndarray):
        return histogram.tolist()
    return [*histogram]


def _below_and_above(bins: Histogram) -> Float[NDArray, "2 t"]:
    """Counts the scores below and above each threshold."""
    counts = np.array(bins, np.float64)
    return np.stack([counts.cumsum()[:-1], counts[::-1].cumsum()[-2::-1]])
