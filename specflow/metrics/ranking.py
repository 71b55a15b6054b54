"""How well scores order the rows."""

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
"""Rows from which equal ones are put together; below, joining alone is cheaper."""


class _Block(NamedTuple):
    """Rows with their multiplicity; equal (score, weight) may stand more than once."""

    score: Float[NDArray, " n"]
    weight: Float[NDArray, " n"]
    times: Int[NDArray, "n 2"]
    """How many negatives and positives."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class AUC(Metric):
    """Area under the ROC curve: how often a positive outscores a negative, ties half.

    Exact: no thresholds. The state keeps the scores, equal ones once, with counts; so
    its size grows with the number of different scores.

    >>> labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> AUC.from_batch(labels, scores).compute()
    0.75
    >>> AUC.from_batch(np.ones(4), scores, undefined=0.0).compute()
    0.0
    """

    blocks: tuple[_Block, ...] = ()
    """Each at most half the size of the next: a row is joined log n times in all."""
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
        """The state of one batch.

        Args:
            labels: 1 (positive) or 0; bool welcome.
            scores: of the positive class, shaped as the labels; any increasing function
                of them has the same area.
            weights: of each label, or of each row for all its labels; 0 leaves it out.
            undefined: value as long as one class is missing; None is NaN.

        Raises:
            DataError: shapes do not fit, a label is neither 0 nor 1, or a score is NaN.
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
        # One order of rows, whatever the order of merging: sums round alike.
        score, weight, times = _compact(_concatenate(self.blocks))
        starts = _starts(score)
        negative, positive = np.add.reduceat(times * weight[:, None], starts, axis=0).T
        below = np.cumsum(negative) - negative
        pairs = exact_sum(positive) * exact_sum(negative)
        if not pairs and self.undefined is not None:
            return self.undefined
        return ratio(exact_sum(positive, below + negative / 2.0), pairs)


def _joined(blocks: list[_Block]) -> tuple[_Block, ...]:
    """The blocks from small to large, joined until each is twice the one before."""
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
    """Sorted by score, then weight; equal rows are put together."""
    order = np.lexsort((block.weight, block.score))
    score, weight = block.score[order], block.weight[order]
    starts = _starts(score, weight)
    times = np.add.reduceat(block.times[order], starts, axis=0)
    return _Block(score[starts], weight[starts], times)


def _starts(*columns: Float[NDArray, " n"]) -> Int[NDArray, " m"]:
    """Where a sorted row differs from the one before; the first row always does."""
    differs = np.ones(columns[0].size, bool)
    differs[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return np.flatnonzero(differs)
