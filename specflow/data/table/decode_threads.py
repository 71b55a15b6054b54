"""Threads that read and decode images, shared by all sources of a process."""

import collections
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_threads"]

Item = TypeVar("Item")
Result = TypeVar("Result")
_PART = 8
"""Items of one task: handing over a task costs as much as decoding a tiny image."""
_TASKS = 4
"""Tasks of a thread that are waiting or done, which bounds their memory."""


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[Result]:
    """Yields the results of a function of each item, in order.

    Pillow releases the interpreter while it decodes and scales. Processes would decode
    no faster, and would copy every array between them.

    >>> list(in_threads(len, ["a", "bc"]))
    [1, 2]
    """
    threads, count = _threads()
    pending: collections.deque[Future[list[Result]]] = collections.deque()

    def part(start: int) -> list[Result]:
        return [function(item) for item in items[start : start + _PART]]

    try:
        for start in range(0, len(items), _PART):
            pending.append(threads.submit(part, start))
            if len(pending) >= _TASKS * count:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


@functools.cache
def _threads() -> tuple[ThreadPoolExecutor, int]:
    """A thread for each core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    count = cores or os.cpu_count() or 1
    return ThreadPoolExecutor(count, "specflow-decode"), count
