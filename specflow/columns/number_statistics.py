"""Statistics of a column of training numbers, gathered block by block."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from specflow.columns.exact_sum import exact_partials
from specflow.columns.order_statistics import OrderStatistics

__all__ = ["NumberStatistics"]

Numbers = npt.NDArray[np.float64]
_CHUNK = 1 << 16
"""Numbers that are transformed together."""


class NumberStatistics:
    """Statistics of numbers, and of the transformed ones, without rounding in between.

    The numbers are read several times, in blocks of any size and order; that changes
    nothing.

    Args:
        transformed: the clipping and transform of numbers.
        median: the median of the numbers is wanted.
        quantiles: probabilities of wanted quantiles of transformed numbers.
        variance: the variance of transformed numbers is wanted.

    >>> statistics = NumberStatistics(np.log2, variance=True)
    >>> while statistics.passes_left:
    ...     for block in (np.array([1.0, np.nan]), np.array([4.0])):
    ...         statistics.add(block)
    ...     statistics.end_pass()
    >>> statistics.mean, statistics.moved_mean, statistics.moved_variance
    (2.5, 1.0, 1.0)
    """

    def __init__(
        self,
        transformed: Callable[[Numbers], Numbers],
        *,
        median: bool = False,
        quantiles: Sequence[float] = (),
        variance: bool = False,
    ):
        self._transformed = transformed
        self._middle = OrderStatistics([0.5] if median else [])
        self._order = OrderStatistics(quantiles)
        self._wants_variance = variance
        self._pass = 0
        self.rows = self.present = 0
        """Number of rows, and of numbers that are not missing."""
        self.low, self.high = math.inf, -math.inf
        """Extremes of the transformed numbers."""
        self._sums: list[float] = []
        self._moved_sums: list[float] = []
        self._deviations: list[float] = []
        self._moved_mean = math.nan

    @property
    def passes_left(self) -> int:
        """Number of passes over all numbers that are still needed."""
        own = 1 + self._wants_variance - self._pass
        return max(own, self._middle.passes_left, self._order.passes_left, 0)

    def add(self, values: Numbers) -> None:
        """Adds a block of numbers, float64 "n", NaN where missing."""
        if self._pass == 0:
            self.rows += len(values)
        for start in range(0, len(values), _CHUNK):
            block = values[start : start + _CHUNK]
            # The least of numbers is NaN if one of them is, without a mask of all.
            low = np.minimum.reduce(block)
            if np.isnan(low):
                block = block[~np.isnan(block)]
                low = np.minimum.reduce(block, initial=math.inf)
            if len(block):
                self._add_present(block, float(low))

    def end_pass(self) -> None:
        """Ends a pass over all numbers."""
        if self._pass == 0 and self.present:
            moved = self._moved_sums or self._sums
            self._moved_mean = _sum(moved) / self.present
        self._pass += 1
        self._middle.end_pass()
        self._order.end_pass()

    @property
    def _largest_deviation(self) -> float:
        """Largest square of a difference from the mean; rounding keeps the order."""
        mean = self._moved_mean
        with np.errstate(over="ignore"):
            return float(max(np.square([self.low - mean, self.high - mean])))

    @property
    def mean(self) -> float:
        """Mean of the numbers."""
        return _sum(self._sums) / self.present

    @property
    def median(self) -> float:
        """Median of the numbers."""
        return self._middle.median()

    @property
    def moved_mean(self) -> float:
        """Mean of the transformed numbers."""
        return self._moved_mean

    @property
    def moved_variance(self) -> float:
        """Variance of the transformed numbers."""
        return _sum(self._deviations) / self.present

    @property
    def moved_quantiles(self) -> list[float]:
        """Quantiles of the transformed numbers."""
        return self._order.values()

    def _add_present(self, present: Numbers, low: float) -> None:
        moved = self._transformed(present)
        if self._pass == 0:
            self.present += len(present)
            high = float(np.maximum.reduce(present))
            self._sums += exact_partials(present, max(-low, high))
            if moved is not present:
                self._moved_sums += exact_partials(moved)
                low, high = float(np.minimum.reduce(moved)), float(moved.max())
            self.low, self.high = min(self.low, low), max(self.high, high)
        if self._pass == 1 and self._wants_variance and self.low < self.high:
            deviations = moved - self._moved_mean
            with np.errstate(over="ignore"):  # The variance is infinite then.
                np.square(deviations, out=deviations)
            self._deviations += exact_partials(deviations, self._largest_deviation)
        self._middle.add(present)
        self._order.add(moved)


def _sum(partials: Sequence[float]) -> float:
    """Exact sum of numbers, rounded once; infinite if it is no float64."""
    try:
        return math.fsum(partials)
    except OverflowError:
        return math.inf
