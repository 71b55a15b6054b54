"""Batches of an iterable with a length, pass after pass."""

from collections.abc import Iterable, Iterator
from typing import Any

from specflow.data.input_kinds import as_source

__all__ = ["RepeatedBatches", "repeated_batches"]


class RepeatedBatches:
    """Batches of an iterable, again from its beginning after its end.

    Args:
        batches: can be iterated over several times, such as a list or a loader.
        count: number of its batches.

    >>> passes = iter(RepeatedBatches([1, 2], 2))
    >>> [next(passes) for _ in range(5)]
    [1, 2, 1, 2, 1]
    """

    def __init__(self, batches: Iterable[Any], count: int):
        self._batches = batches
        self.count = count
        """Batches of a pass, which is an epoch."""

    def __iter__(self) -> Iterator[Any]:
        has_batch = True
        while has_batch:
            has_batch = False
            for batch in self._batches:
                has_batch = True
                yield batch


def _batch_count(value: Any) -> int | None:
    """Number of batches of an iterable; None: it is none, or does not know."""
    # An iterator gives its batches once.
    if not hasattr(value, "__iter__") or hasattr(value, "__next__"):
        return None
    try:
        count = len(value)
    except TypeError:  # No __len__, or one of an unknown length.
        return None
    return count if count > 0 and as_source(value) is None else None


def repeated_batches(value: Any) -> Any:
    """Repeats an iterable with a length; any other input is returned as it is."""
    count = _batch_count(value)
    return value if count is None else RepeatedBatches(value, count)
