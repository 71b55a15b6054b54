"""Seconds by name: where the time of a run goes."""

import contextlib
import time
from collections.abc import Iterator

__all__ = ["Stopwatch"]


class Stopwatch(dict[str, float]):
    """Adds up the seconds of named stretches; stretches of one name may nest.

    >>> watch = Stopwatch()
    >>> with watch("eval"):
    ...     pass
    >>> list(watch)
    ['eval']
    """

    def __init__(self) -> None:
        super().__init__()
        self._running: set[str] = set()

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Counts the seconds spent inside; a nested stretch counts once."""
        if name in self._running:
            yield
            return
        self._running.add(name)
        started = time.perf_counter()
        try:
            yield
        finally:
            self._running.discard(name)
            self.add(name, time.perf_counter() - started)

    def add(self, name: str, seconds: float) -> None:
        """Adds seconds that were measured elsewhere."""
        self[name] = self.get(name, 0.0) + seconds
