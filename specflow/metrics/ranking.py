"""Exact area under the ROC curve."""

import dataclasses
import math
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Float, Int, Num
from numpy.typing import NDArray

from specflow.metrics.exact import exact_sum, ratio
from specflow.metrics.metric import Metric, same_settings
from specflow.metrics.metric_rows import as_numbers, refuse_rows, rows

__all__ = ["AUC"]

_WORTH_SORTING = 2**15
"""Number of rows from which equal rows are merged; below, concatenation is cheaper."""


class _Block(NamedTuple):
    """Rows with their multiplicity; equal (score, weight) may be repeated."""

    score: Float[NDArray, " n"]
    weight: Float[NDArray, " n"]
    times: Int[NDArray, "n 2"]
    """Number of negatives and positives."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class AUC(Metric):
    """Area under the ROC curve, exact.

    The probability that a positive scores higher than a negative, ties counting one
    half; there are no thresholds. The state holds the distinct scores with counts, so
    its size grows with their number.

    >>> labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> AUC.from_batch(labels, scores).compute()
    0.75
    >>> AUC.from_batch(np.ones(4), scores, undefined=0.0).compute()
    0.0
    """

    blocks: tuple[_Block, ...] = ()
    """Each at most half the size of the next: a row is merged at most log n times."""
    undefined: float | None = None

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."],
        scores: Num[NDArray, "b ..."],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        undefined: float | None = None,
    ) -> Self:
        """Builds the state of one batch.

        Args:
            labels: true binary labels, 0 or 1, or bool.
            scores: scores of the positive class, shaped as the labels; only their order
                matters.
            weights: sample weights, one per label or per row; 0 leaves it out.
            undefined: value while one class is missing; None: NaN.

        Raises:
            DataError: shapes do not match, a label is neither 0 nor 1, or a score is
                NaN.
        """
        name = cls.__name__
        label, score, weight = rows(name, {"labels": labels, "scores": scores}, weights)
        label, score = as_numbers(label), as_numbers(score)
        refuse_rows(
            name, "labels", label, (label != 0.0) & (label != 1.0), expected="0 or 1"
        )
        refuse_rows(name, "scores", score, np.isnan(score), expected="numbers")
        if not label.size:
            return cls(undefined=undefined)
        weight = np.ones_like(score) if weight is None else weight
        times = np.stack([label == 0.0, label == 1.0], axis=1).astype(np.int64)
        return cls((_Block(score, weight, times),), undefined)

    def merge(self, other: Self) -> Self:
        if not self.blocks and self.undefined is None:
            return other
        if not other.blocks:
            return self
        same_settings(self, other, "undefined")
        return type(self)(_joined([*self.blocks, *other.blocks]), self.undefined)

    def compute(self) -> float:
        if not self.blocks:
            return math.nan if self.undefined is None else self.undefined
        # The order of rows does not depend on that of merging: sums round equally.
        score, weight, times = _compact(_concatenate(self.blocks))
        starts = _starts(score)
        negative, positive = np.add.reduceat(times * weight[:, None], starts, axis=0).T
        below = np.cumsum(negative) - negative
        pairs = exact_sum(positive) * exact_sum(negative)
        if not pairs and self.undefined is not None:
            return self.undefined
        return ratio(exact_sum(positive, below + negative / 2.0), pairs)


def _joined(blocks: list[_Block]) -> tuple[_Block, ...]:
    """Merges blocks, from small to large, until each is twice the size of the last."""
    small, *larger = sorted(blocks, key=_size)
    joined: list[_Block] = []
    for block in larger:
        if _size(block) >= 2 * _size(small):
            joined.append(small)
            small = block
            continue
        small = _concatenate([small, block])
        if _size(small) >= _WORTH_SORTING:
            small = _compact(small)
    return (*joined, small)


def _size(block: _Block) -> int:
    return block.score.size


def _concatenate(blocks: list[_Block] | tuple[_Block, ...]) -> _Block:
    return _Block(*map(np.concatenate, zip(*blocks, strict=True)))


def _compact(block: _Block) -> _Block:
    """Sorts rows by score, then weight, and merges equal ones."""
    order = np.lexsort((block.weight, block.score))
    score, weight = block.score[order], block.weight[order]
    starts = _starts(score, weight)
    times = np.add.reduceat(block.times[order], starts, axis=0)
    return _Block(score[starts], weight[starts], times)


def _starts(*columns: Float[NDArray, " n"]) -> Int[NDArray, " m"]:
    """Returns the index of the first row of each run of equal sorted rows."""
    differs = np.ones(columns[0].size, bool)
    differs[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return np.flatnonzero(differs)
