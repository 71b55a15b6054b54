"""The part of a mixture that each row of a stream is of, with exact shares."""

import heapq
import math
import threading
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

__all__ = ["PartOrder", "exact_weight", "whole_weights"]

_LARGEST_PERIOD = 1 << 20
"""Rows after which a stream of parts repeats, at most."""
_BLOCK = 1 << 13
"""Rows whose parts are computed at once."""


class PartOrder:
    """A fixed sequence of parts in which every prefix has the shares of the weights.

    In the first n rows of the sequence a part of weight w has within 1 - 1 / (2k - 2)
    of n * w rows, for k parts: the bound of Tijdeman, which no sequence improves for
    all weights. The sequence depends on the weights alone, and it repeats after the
    sum of their whole numbers, so that any of its rows is found without those before.

    Args:
        weights: whole numbers above 0, one for each part, as `whole_weights` makes
            them.

    References:
        R. Tijdeman, The chairman assignment problem, Discrete Mathematics 32 (1980).

    >>> order = PartOrder([2, 1])
    >>> order.at(0, 6)[0].tolist(), order.counts(4).tolist()
    ([0, 1, 0, 0, 1, 0], [3, 1])
    """

    def __init__(self, weights: Sequence[int]):
        self.weights = np.asarray(weights, np.int64)
        self.period = int(self.weights.sum())
        self._parts = np.zeros(self.period, np.int16)
        self._places = np.zeros(self.period, np.int32)
        """Rows of its own part before each row, since the period began."""
        self._counts = [np.zeros(len(weights), np.int64)]
        """Rows of each part before each block."""
        self._next = 0
        self._lock = threading.Lock()
        parts = len(weights)
        # A share 1 / _margin of a row: how far a row is from the end of its window.
        self._margin = max(2 * parts - 2, 1)
        self._released = [0] * parts
        """Rows of each part whose windows have begun."""
        self._ready: list[int] = []
        """Heap of rows that may come: their deadlines times k, plus their parts."""

    def at(
        self, start: int, stop: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Parts of some rows of the sequence, and rows of the same part before each.

        Args:
            start: first row, from 0.
            stop: row after the last one.

        Returns:
            Both int64 "n".
        """
        rounds, rows = np.divmod(np.arange(start, stop), self.period)
        self._reach(min(self.period, stop - start // self.period * self.period))
        parts = self._parts[rows].astype(np.int64)
        return parts, rounds * self.weights[parts] + self._places[rows]

    def counts(self, rows: int) -> npt.NDArray[np.int64]:
        """Number of rows of each part among the first rows, int64 "k"."""
        rounds, rest = divmod(rows, self.period)
        self._reach(rest)
        block = rest // _BLOCK
        found = np.bincount(
            self._parts[block * _BLOCK : rest], minlength=len(self.weights)
        )
        return rounds * self.weights + self._counts[block] + found

    def _reach(self, stop: int) -> None:
        """Computes the parts of the rows before `stop`, and those of its block."""
        if stop <= self._next < self.period or self._next == self.period:
            return
        with self._lock:
            while self._next < min(stop, self.period):
                self._extend()

    def _extend(self) -> None:
        """Computes the parts of one block.

        Row j of a part may come when it is due by at least a margin, and comes before
        it is overdue: of all rows that may come the one that is overdue first does.
        """
        first, stop = self._next, min(self._next + _BLOCK, self.period)
        releases, keys = self._windows(stop)
        ready, parts = self._ready, []
        begun = 0
        # Of the windows in order, those that have begun by each row of the block.
        ends = np.searchsorted(releases, np.arange(first, stop), side="right")
        for end in ends.tolist():
            for key in keys[begun:end]:
                heapq.heappush(ready, key)
            begun = end
            parts.append(heapq.heappop(ready) % len(self.weights))
        self._parts[first:stop] = parts
        counts = self._counts[-1].copy()
        for part in range(len(self.weights)):
            own = first + np.flatnonzero(self._parts[first:stop] == part)
            self._places[own] = counts[part] + np.arange(len(own))
            counts[part] += len(own)
        self._counts.append(counts)
        self._next = stop

    def _windows(self, stop: int) -> tuple[npt.NDArray[np.int64], list[int]]:
        """First rows and heap keys of the windows that begin next, before `stop`."""
        margin, k = self._margin, len(self.weights)
        releases, keys = [], []
        for part, weight in enumerate(self.weights.tolist()):
            begun = self._released[part]
            number = np.arange(begun, stop * weight // self.period + 2)
            release = -(-(number * margin + 1) * self.period // (margin * weight)) - 1
            release = release[release < stop]
            number = number[: len(release)]
            deadline = ((number + 1) * margin - 1) * self.period // (margin * weight)
            releases.append(release)
            keys.append(deadline * k + part)
            self._released[part] = begun + len(release)
        order = np.argsort(np.concatenate(releases), kind="stable")
        return np.concatenate(releases)[order], np.concatenate(keys)[order].tolist()


def exact_weight(weight: float) -> Fraction:
    """The number that is written, not its nearest binary fraction.

    >>> exact_weight(0.7)
    Fraction(7, 10)
    """
    return Fraction(repr(float(weight)) if isinstance(weight, float) else weight)


def whole_weights(weights: Sequence[Fraction]) -> list[int]:
    """Whole numbers in the proportions of some weights.

    Their sum is at most 1,048,576. Where exact proportions need a larger one, the
    weights are rounded to it, so that a part is off by less than one row of a million.

    >>> whole_weights([Fraction(7, 10), Fraction(3, 10)])
    [7, 3]
    """
    common = math.lcm(*(weight.denominator for weight in weights))
    whole = [int(weight * common) for weight in weights]
    divisor = math.gcd(*whole)
    whole = [weight // divisor for weight in whole]
    total = sum(whole)
    if total <= _LARGEST_PERIOD:
        return whole
    # At least 1: no part may be lost.
    shares = [weight * _LARGEST_PERIOD for weight in whole]
    rounded = [max(1, share // total) for share in shares]
    rest = _LARGEST_PERIOD - sum(rounded)
    by_remainder = sorted(range(len(whole)), key=lambda part: -(shares[part] % total))
    for part in by_remainder[: max(rest, 0)]:
        rounded[part] += 1
    if rest < 0:
        rounded[max(range(len(whole)), key=rounded.__getitem__)] += rest
    divisor = math.gcd(*rounded)
    return [weight // divisor for weight in rounded]
