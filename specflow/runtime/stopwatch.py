"""Seconds by name: where the time of a run goes."""

import contextlib
import time
from collections.abc import Iterator

__all__ = ["Stopwatch"]


class Stopwatch(dict[str, float]):
    """Adds up the seconds of named stretches, each second to one name only.

    A stretch inside another one stops the outer one's clock, so that compiling in the
    middle of training counts as compiling, and all names together are the whole time.

    >>> watch = Stopwatch()
    >>> with watch("train"):
    ...     with watch("compile"):
    ...         time.sleep(0.02)
    >>> watch["compile"] >= 0.02, watch["train"] < 0.02
    (True, True)
    """

    def __init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self._since = 0.0

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Counts the seconds inside for `name`, and for nobody else."""
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def _charge(self) -> None:
        """Gives the time since the last change to whoever's clock was running."""
        now = time.perf_counter()
        if self._open:
            name = self._open[-1]
            self[name] = self.get(name, 0.0) + now - self._since
        self._since = now
