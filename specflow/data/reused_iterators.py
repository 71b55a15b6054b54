"""Iterators of input functions, recognized when they are passed in again."""

import collections
from collections.abc import Iterable
from typing import Any, Self

__all__ = ["Handed", "handed"]

_MOST_KEPT = 4

_KEPT: "collections.deque[Handed]" = collections.deque(maxlen=_MOST_KEPT)
"""Iterators that training has read from and not exhausted, newest last."""


class Handed:
    """An iterator to which batches that were drawn ahead can be returned.

    Args:
        iterator: of batches, without random access.

    >>> numbers = Handed(iter([1, 2, 3]))
    >>> first = next(numbers)
    >>> numbers.put_back([first])
    >>> list(numbers)
    [1, 2, 3]
    """

    def __init__(self, iterator: Any):
        self.iterator = iterator
        self.passed: tuple[int, int] | None = None
        """Batches and rows that training has read; None before the first."""
        self._back: collections.deque[Any] = collections.deque()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._back:
            return self._back.popleft()
        return next(self.iterator)

    def put_back(self, batches: Iterable[Any]) -> None:
        """Returns batches in their order, to be read again first."""
        self._back.extendleft(reversed(list(batches)))

    def keep(self, batches: int, rows: int, *, ended: bool) -> None:
        """Registers the iterator, to be recognized by a later call to train.

        Args:
            batches: number that training has read.
            rows: number that training has read, over all processes.
            ended: the iterator is exhausted, except for returned batches.
        """
        self.passed = batches, rows
        if self in _KEPT:
            _KEPT.remove(self)
        if self._back or not ended:
            _KEPT.append(self)


def handed(value: Any) -> Any:
    """Wraps an iterator as a `Handed`, the existing one if it was passed in before.

    Values that can be iterated again, or have a settable position, are unchanged.

    >>> handed([1, 2])
    [1, 2]
    """
    if not hasattr(value, "__next__") or hasattr(value, "set_state"):
        return value
    for known in _KEPT:
        if known.iterator is value:
            return known
    return Handed(value)
