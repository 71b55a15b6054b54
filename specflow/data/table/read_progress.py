"""Progress of a pass over a table, for passes that take seconds."""

import sys
import time

__all__ = ["ReadProgress"]

_EVERY_S = 5.0


class ReadProgress:
    """Prints how much is read, every five seconds.

    Args:
        doing: present participle and noun, such as `fitting columns`.
        rows: number of rows of the pass.
        unit: plural noun of what is counted.
    """

    def __init__(self, doing: str, rows: int, *, unit: str = "rows"):
        self._doing, self._rows, self._unit = doing, max(1, rows), unit
        self._done = 0
        self._start = self._last = time.monotonic()

    def advance(self, rows: int) -> None:
        """Counts rows that were read."""
        self._done += rows
        now = time.monotonic()
        if now - self._last < _EVERY_S:
            return
        self._last = now
        share = f"{self._done:,} of {self._rows:,} {self._unit}"
        print(
            f"data: {self._doing}, {share} ({100 * self._done // self._rows} %), "
            f"{now - self._start:.0f} s",
            file=sys.stderr,
            flush=True,
        )
