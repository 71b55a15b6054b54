"""How often trials of a sweep have started, and which of them start again."""

import collections

from specflow.sweep.pool.trial import TrialOutcome
from specflow.sweep.pool.trial_failures import is_retried

__all__ = ["Attempts"]

_MOST_DECLINES = 2
"""How often a trial may ask for a new process before that is an error."""


class Attempts:
    """Attempts of the trials of a sweep.

    Args:
        retries: how often a trial may start again after a failure that may pass.
    """

    def __init__(self, retries: int):
        self._retries = retries
        self._starts: collections.Counter[int] = collections.Counter()
        self._declines: collections.Counter[int] = collections.Counter()
        self.alone: set[int] = set()
        """Numbers of trials that run in no pack any more."""

    def begin(self, number: int) -> bool:
        """Counts a start; returns whether it is the first one of its trial."""
        is_first = not self._starts[number] and number not in self._declines
        self._starts[number] += 1
        return is_first

    def count(self, number: int) -> int:
        """Returns how often a trial has started, 1 or more."""
        return max(1, self._starts[number])

    def decline(self, number: int) -> bool:
        """Takes a start back that needs a new process; returns whether it gets one."""
        self._declines[number] += 1
        self._starts[number] -= 1
        return self._declines[number] < _MOST_DECLINES

    def send_back(self, number: int) -> None:
        """Takes a start back of a trial that runs in no pack."""
        self.alone.add(number)
        self._starts[number] -= 1
        self._declines[number] += 0  # It is known: its next start is not the first.

    def again(self, outcome: TrialOutcome, was_packed: bool) -> bool:
        """Returns whether a trial that failed starts again.

        Args:
            outcome: how it failed.
            was_packed: whether others ran with it, which may be the cause: it starts
                again alone, whatever the kind of the failure, once.

        >>> from specflow.sweep.pool.trial import TrialStatus
        >>> attempts = Attempts(retries=0)
        >>> died = TrialOutcome(number=3, status=TrialStatus.FAILED, failure="died")
        >>> attempts.again(died, True), attempts.again(died, False), attempts.alone
        (True, False, {3})
        """
        number = outcome.number
        if was_packed and number not in self.alone:
            self.alone.add(number)
            return True
        return is_retried(outcome.failure, outcome.attempts, self._retries)
