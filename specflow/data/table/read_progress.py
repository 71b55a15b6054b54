"""Progress of a pass over a table, for passes that take seconds."""

import sys
import time

__all__ = ["ReadProgress"]

_EVERY_S = 5.0


class ReadProgress:
    """Prints how many rows are read, every five seconds.

    Args:
        doing: present participle and noun, such as `fitting columns`.
        rows: number of rows of the pass.
    """

    def __init__(self, doing: str, rows: int):
        self._doing, self._rows = doing, max(1, rows)
        self._done = 0
        self._start = self._last = time.monotonic()

    def advance(self, rows: int) -> None:
        """Counts rows that were read."""
        self._done += rows
        now = time.monotonic()
        if now - self._last < _EVERY_S:
            return
        self._last = now
        share = f"{self._done:,} of {self._rows:,} rows"
        print(
            f"data: {self._doing}, {share} ({100 * self._done // self._rows} %), "
            f"{now - self._start:.0f} s",
            file=sys.stderr,
            flush=True,
        )
