"""Recovery of training from its newest checkpoint after a device failed."""

import logging
from collections.abc import Callable
from typing import Any

from specflow import loop
from specflow.diagnostics.rendering import is_of_user, is_transient

__all__ = ["Recovery", "skip_repeated_steps"]

_LOG = logging.getLogger("specflow")


class Recovery:
    """Decides whether one call to train resumes after an error.

    Args:
        tries: number of attempts without progress; a newer checkpoint than at the
            previous error resets it.
    """

    def __init__(self, tries: int):
        self._tries = self._left = tries
        self._saved: int | None = None
        self.count = 0
        """Number of times that training resumed."""

    def takes(self, error: Exception, saved_step: Callable[[], int | None]) -> bool:
        """Returns whether training resumes after an error; counts and logs it.

        Args:
            error: the error, with its traceback from the call of the loop on.
            saved_step: returns the step of the newest checkpoint, or None.
        """
        if not self._tries or not is_transient(error) or is_of_user(error):
            return False
        saved = saved_step()
        if saved is not None and (self._saved is None or saved > self._saved):
            self._left, self._saved = self._tries, saved
        if self._left == 0:
            return False
        self._left -= 1
        self.count += 1
        _LOG.warning(
            "a device failed: %s; training resumes from %s (try %d of %d)",
            (str(error).splitlines() or [type(error).__name__])[0],
            "the start" if saved is None else f"the checkpoint of step {saved}",
            self._tries - self._left,
            self._tries,
        )
        return True


def skip_repeated_steps(
    report: loop.MetricsCallback | None,
) -> loop.MetricsCallback | None:
    """Wraps a report so that it skips steps that recovery repeats.

    >>> rows = skip_repeated_steps(lambda step, split, metrics: print(step, split))
    >>> for step in (10, 20, 10, 20, 30):
    ...     rows(step, "train", {})
    10 train
    20 train
    30 train
    """
    if report is None:
        return None
    last: dict[str, int] = {}

    def report_new(step: int, split: str, metrics: Any) -> None:
        if step > last.get(split, -1):
            report(step, split, metrics)
            last[split] = step

    return report_new
