"""Exact quantiles of numbers that are read block by block, in bounded memory."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["OrderStatistics"]

_DIGITS = 4
"""Passes over the numbers; each finds 16 of the 64 bits of the wanted ones."""
_BITS = 16
_SIGN = np.uint64(1 << 63)


class OrderStatistics:
    """Quantiles of numbers, by a radix selection in four passes.

    Every pass counts the numbers by their next 16 bits, below each prefix that a wanted
    number has. The counts are integers, so blocks may come in any order and size.

    Args:
        quantiles: probabilities in [0, 1].

    >>> statistics = OrderStatistics([0.5])
    >>> while statistics.passes_left:
    ...     for block in (np.array([4.0, 1.0]), np.array([3.0, 2.0])):
    ...         statistics.add(block)
    ...     statistics.end_pass()
    >>> statistics.values()
    [2.5]
    """

    def __init__(self, quantiles: Sequence[float]):
        self._quantiles = list(quantiles)
        self.passes_left = _DIGITS if self._quantiles else 0
        """Number of passes over all numbers that are still needed."""
        self._counts = {0: np.zeros(1 << _BITS, np.int64)}
        self._ranks: dict[int, tuple[int, int]] = {}
        self._size = 0

    def add(self, numbers: npt.NDArray[np.float64]) -> None:
        """Counts a block of numbers, float64 "n", none of them NaN."""
        if not self.passes_left:
            return
        bits = (numbers + 0.0).view(np.uint64)  # Turns -0 into 0.
        keys = np.where(bits & _SIGN, ~bits, bits | _SIGN)
        done = _DIGITS - self.passes_left
        digits = (keys >> np.uint64(64 - _BITS * (done + 1))) & np.uint64(0xFFFF)
        if not done:
            self._counts[0] += np.bincount(digits.astype(np.int64), minlength=1 << 16)
            return
        prefixes = keys >> np.uint64(64 - _BITS * done)
        for prefix, counts in self._counts.items():
            chosen = digits[prefixes == np.uint64(prefix)].astype(np.int64)
            counts += np.bincount(chosen, minlength=1 << _BITS)

    def end_pass(self) -> None:
        """Extends the prefix of every wanted number by 16 bits."""
        if self.passes_left == _DIGITS:
            self._size = int(self._counts[0].sum())
            # Rank of each wanted number -> its prefix, and its rank below the prefix.
            self._ranks = {rank: (0, rank) for rank in self._wanted()}
        if not self.passes_left:
            return
        sums = {prefix: np.cumsum(counts) for prefix, counts in self._counts.items()}
        for rank, (prefix, below) in self._ranks.items():
            digit = int(np.searchsorted(sums[prefix], below, side="right"))
            before = int(sums[prefix][digit - 1]) if digit else 0
            self._ranks[rank] = (prefix << _BITS) | digit, below - before
        self.passes_left -= 1
        prefixes = {prefix for prefix, _ in self._ranks.values()}
        self._counts = {
            prefix: np.zeros(1 << _BITS, np.int64)
            for prefix in (prefixes if self.passes_left else ())
        }

    def values(self) -> list[float]:
        """The quantiles, interpolated as `numpy.quantile` does by default."""
        found = []
        for quantile in self._quantiles:
            place = quantile * (self._size - 1)
            low, high = (self._value(rank) for rank in self._pair(place))
            fraction = place - math.floor(place)
            # NumPy's formula, which is monotonic in the fraction.
            found.append(
                high - (high - low) * (1.0 - fraction)
                if fraction >= 0.5
                else low + (high - low) * fraction
            )
        return found

    def median(self) -> float:
        """The mean of the two numbers in the middle, of the quantile 0.5."""
        low, high = (self._value(rank) for rank in self._pair(0.5 * (self._size - 1)))
        return float(np.mean([low, high]))

    def _wanted(self) -> set[int]:
        if not self._size:
            return set()
        places = [quantile * (self._size - 1) for quantile in self._quantiles]
        return {rank for place in places for rank in self._pair(place)}

    def _pair(self, place: float) -> tuple[int, int]:
        return math.floor(place), math.ceil(place)

    def _value(self, rank: int) -> float:
        key = np.uint64(self._ranks[rank][0])
        bits = key ^ _SIGN if key & _SIGN else ~key
        return float(np.array(bits).view(np.float64))
