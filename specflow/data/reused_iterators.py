"""Iterators of input functions, recognized when they are passed in again."""

import collections
from collections.abc import Iterable
from typing import Any, Self

__all__ = ["TrackedIterator", "track_iterator"]

_MAX_TRACKED = 4

_TRACKED: "collections.deque[TrackedIterator]" = collections.deque(maxlen=_MAX_TRACKED)
"""Iterators that training has read from and not exhausted, newest last."""


class TrackedIterator:
    """An iterator that takes back batches that were drawn ahead.

    Args:
        iterator: of batches, without random access.

    >>> numbers = TrackedIterator(iter([1, 2, 3]))
    >>> first = next(numbers)
    >>> numbers.put_back([first])
    >>> list(numbers)
    [1, 2, 3]
    """

    def __init__(self, iterator: Any):
        self.iterator = iterator
        self.consumed: tuple[int, int] | None = None
        """(batches, rows) that training has read. None before the first."""
        self._returned: collections.deque[Any] = collections.deque()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._returned:
            return self._returned.popleft()
        return next(self.iterator)

    def put_back(self, batches: Iterable[Any]) -> None:
        """Returns batches in their order, to be read again first."""
        self._returned.extendleft(reversed(list(batches)))

    def keep(self, batches: int, rows: int, *, ended: bool) -> None:
        """Registers the iterator, to be recognized by a later call to train.

        Args:
            batches: number that training has read.
            rows: number that training has read, over all processes.
            ended: the iterator is exhausted, except for returned batches.
        """
        self.consumed = batches, rows
        if self in _TRACKED:
            _TRACKED.remove(self)
        if self._returned or not ended:
            _TRACKED.append(self)


def track_iterator(value: Any) -> Any:
    """Wraps an iterator as a `TrackedIterator`, or returns its existing wrapper.

    Values that can be iterated again, or have a settable position, are returned as is.

    >>> track_iterator([1, 2])
    [1, 2]
    """
    if not hasattr(value, "__next__") or hasattr(value, "set_state"):
        return value
    for tracked in _TRACKED:
        if tracked.iterator is value:
            return tracked
    return TrackedIterator(value)
