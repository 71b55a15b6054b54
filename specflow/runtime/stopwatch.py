"""Accounts the seconds of a run by name."""

import contextlib
import time
from collections.abc import Iterator

__all__ = ["Stopwatch"]


class Stopwatch(dict[str, float]):
    """Sums the seconds of named blocks; each second counts for one name.

    A nested block pauses the outer one, so that compiling in the middle of training
    counts as compiling, and all names add up to the total time.

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
        """Counts the seconds of the block for `name` alone."""
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def _charge(self) -> None:
        """Adds the time since the last change to the innermost open block."""
        now = time.perf_counter()
        if self._open:
            name = self._open[-1]
            self[name] = self.get(name, 0.0) + now - self._since
        self._since = now
