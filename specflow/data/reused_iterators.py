"""Iterators that an input function hands over, known again when they come back."""

import collections
from collections.abc import Iterable
from typing import Any, Self

__all__ = ["Handed", "handed"]

_MOST_KEPT = 4

_KEPT: "collections.deque[Handed]" = collections.deque(maxlen=_MOST_KEPT)
"""Those that training has drawn from and that are not at their end, newest last."""


class Handed:
    """An iterator that gives each batch once, and takes back what was drawn ahead.

    Args:
        iterator: of batches; it cannot be put to a place.

    >>> numbers = Handed(iter([1, 2, 3]))
    >>> first = next(numbers)
    >>> numbers.put_back([first])
    >>> list(numbers)
    [1, 2, 3]
    """

    def __init__(self, iterator: Any):
        self.iterator = iterator
        self.passed: tuple[int, int] | None = None
        """Batches and rows that training has seen; None: it has not drawn any yet."""
        self._back: collections.deque[Any] = collections.deque()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._back:
            return self._back.popleft()
        return next(self.iterator)

    def put_back(self, batches: Iterable[Any]) -> None:
        """Puts batches back that were drawn, in their order; they come first again."""
        self._back.extendleft(reversed(list(batches)))

    def keep(self, batches: int, rows: int, *, ended: bool) -> None:
        """Has the iterator known again, for a later call to train.

        Args:
            batches: that training has seen, of all that it gave.
            rows: likewise, over all processes.
            ended: whether it has nothing left to give, but for what was put back.
        """
        self.passed = batches, rows
        if self in _KEPT:
            _KEPT.remove(self)
        if self._back or not ended:
            _KEPT.append(self)


def handed(value: Any) -> Any:
    """What an input function gave; an iterator as a `Handed`, the former one if it is.

    What can be iterated over again, or be put to a place, stays as it is.

    >>> handed([1, 2])
    [1, 2]
    """
    if not hasattr(value, "__next__") or hasattr(value, "set_state"):
        return value
    for known in _KEPT:
        if known.iterator is value:
            return known
    return Handed(value)
