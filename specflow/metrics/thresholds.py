"""Confusion matrices at decision thresholds, from a histogram of scores."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
from jaxtyping import Float, Num
from numpy.typing import NDArray

from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.metrics.exact import Exact, plus
from specflow.metrics.metric import Metric, same_settings, weight_sums
from specflow.metrics.metric_rows import as_numbers, refuse_rows, rows

__all__ = ["Confusions", "ThresholdCounts"]

Confusions: TypeAlias = Float[np.ndarray, "t 2 2"]
"""At each threshold, counts by label (row) and prediction (column), negative first."""


@dataclasses.dataclass(frozen=True, slots=True)
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

    negatives: tuple[Exact, ...] = ()
    """Number between two adjacent thresholds, in ascending order."""
    positives: tuple[Exact, ...] = ()
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
        refuse_rows(
            name,
            "scores",
            score,
            ~((score >= 0) & (score <= 1)),
            expected="probabilities from 0 to 1",
            hint="Take the sigmoid of logits.",
        )
        limits = np.asarray(thresholds, np.float32)
        if limits.ndim != 1 or not limits.size or np.isnan(limits).any():
            raise DataError(
                Diagnostic(
                    name,
                    f"thresholds are {thresholds!r}",
                    expected="a list of at least one number",
                    code="metric-values",
                )
            )
        bins = np.searchsorted(np.sort(limits), as_numbers(score).astype(np.float32))
        positive = label.astype(bool)
        negatives, positives = (
            weight_sums(
                bins[side], limits.size + 1, None if weight is None else weight[side]
            )
            for side in (~positive, positive)
        )
        return cls(tuple(negatives), tuple(positives), tuple(limits.tolist()), read)

    def merge(self, other: Self) -> Self:
        if not self.thresholds or not other.thresholds:
            return self if self.thresholds else other
        same_settings(self, other, "thresholds", "read")
        return dataclasses.replace(
            self,
            negatives=tuple(map(plus, self.negatives, other.negatives)),
            positives=tuple(map(plus, self.positives, other.positives)),
        )

    def compute(self) -> Any:
        """Computes float64 counts "t 2 2", or the value of `read` for them."""
        rank = np.argsort(np.argsort(self.thresholds, kind="stable"), kind="stable")
        counts = np.array(
            [_below_and_above(side) for side in (self.negatives, self.positives)]
        )
        confusions = counts.transpose(2, 0, 1)[rank]
        return confusions if self.read is None else self.read(confusions)


def _below_and_above(bins: tuple[Exact, ...]) -> Float[NDArray, "2 t"]:
    """Counts the scores below and above each threshold."""
    counts = np.array(bins, np.float64)
    return np.stack([counts.cumsum()[:-1], counts[::-1].cumsum()[-2::-1]])
