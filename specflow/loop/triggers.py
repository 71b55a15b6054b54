"""Triggers: when a periodic action of the training loop is due."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Protocol

from specflow.config.epochs import EpochLength, Epochs
from specflow.data import no_epochs
from specflow.distributed import collectives

__all__ = [
    "EveryEpochs",
    "EverySeconds",
    "EverySteps",
    "Trigger",
    "WhicheverFirst",
    "every_steps",
]


class Trigger(Protocol):
    """Decides when a periodic action is due."""

    def next_after(self, step: int) -> int | None:
        """Returns the next step at which the action is due; None if none is known."""
        ...

    def is_due(self, step: int) -> bool:
        """Returns whether the action is due now, after `step` was taken."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class EverySteps:
    """Is due every `every` steps.

    >>> trigger = EverySteps(100, start=30)
    >>> trigger.next_after(30), trigger.next_after(130), trigger.is_due(230)
    (130, 230, True)
    """

    every: int
    """Steps between two actions; 0: never."""
    start: int = 0
    """Step from which steps are counted."""

    def next_after(self, step: int) -> int | None:
        if not self.every:
            return None
        return step + self.every - (step - self.start) % self.every

    def is_due(self, step: int) -> bool:
        return bool(self.every) and (step - self.start) % self.every == 0


@dataclasses.dataclass(frozen=True, slots=True)
class EveryEpochs:
    """Is due at the first step that completes a multiple of some epochs.

    >>> trigger = EveryEpochs(Fraction(1), EpochLength(rows=1437, batch_size=128))
    >>> trigger.next_after(0), trigger.next_after(12), trigger.next_after(23)
    (12, 23, 34)
    """

    every: Fraction
    """Epochs between two actions, counted from the start of the training data."""
    length: EpochLength

    def next_after(self, step: int) -> int:
        return self.length.next_multiple(self.every, step)

    def is_due(self, step: int) -> bool:
        return self.next_after(step - 1) == step


def every_steps(
    every: int | str,
    *,
    where: str,
    length: EpochLength | None,
    start: int = 0,
) -> EverySteps | EveryEpochs:
    """Returns the trigger of a number of steps or epochs.

    Args:
        every: steps, 0 for never; or `Epochs`.
        where: the setting, for messages.
        length: of an epoch; None: it is not known.
        start: step from which steps are counted; epochs are counted from the start of
            the data.

    Raises:
        DataError: epochs of an input without a length.
    """
    if not isinstance(every, str):
        return EverySteps(every, start=start)
    if length is None:
        raise no_epochs(where, every)
    return EveryEpochs(Epochs(every).number, length)


class EverySeconds:
    """Is due every `every_s` seconds, at the end of a device loop.

    Args:
        every_s: seconds between two actions, counted from construction, or from
            `elapsed_s` seconds before it.
        elapsed_s: seconds since the last action, of a run that resumes.
        clock: returns the time in seconds; replaced in tests.

    >>> now = iter([0.0, 5.0, 12.0, 13.0])
    >>> trigger = EverySeconds(10.0, clock=lambda: next(now))
    >>> [trigger.is_due(step) for step in (1, 2, 3)]
    [False, True, False]
    """

    def __init__(
        self,
        every_s: float,
        *,
        elapsed_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.every_s, self._clock = every_s, clock
        self._last_s = clock() - elapsed_s

    @property
    def elapsed_s(self) -> float:
        """Seconds since the last action."""
        return self._clock() - self._last_s

    def next_after(self, step: int) -> int | None:
        return None

    def is_due(self, step: int) -> bool:
        now_s = self._clock()
        # The clocks of several processes differ: the one of process 0 decides.
        if not collectives.on_process_zero(
            lambda: now_s - self._last_s >= self.every_s
        ):
            return False
        self._last_s = now_s
        return True

    def restart(self) -> None:
        """Counts the time from now."""
        self._last_s = self._clock()


class WhicheverFirst:
    """Is due by steps, or by time since it was last due for either reason.

    Args:
        steps: triggers by steps, which are the same in all processes.
        seconds: trigger by time, which is asked only if none by steps is due.

    >>> now = iter([0.0, 5.0, 12.0, 21.0])
    >>> seconds = EverySeconds(10.0, clock=lambda: next(now))
    >>> trigger = WhicheverFirst([EverySteps(2)], seconds)
    >>> [trigger.is_due(step) for step in (2, 3, 5)]  # At 5 s, 12 s and 21 s.
    [True, False, True]
    """

    def __init__(self, steps: Sequence[Trigger], seconds: EverySeconds | None):
        self._steps, self._seconds = steps, seconds

    def next_after(self, step: int) -> int | None:
        due = (trigger.next_after(step) for trigger in self._steps)
        return min((at for at in due if at is not None), default=None)

    def is_due(self, step: int) -> bool:
        if any(trigger.is_due(step) for trigger in self._steps):
            if self._seconds is not None:
                self._seconds.restart()
            return True
        return self._seconds is not None and self._seconds.is_due(step)
