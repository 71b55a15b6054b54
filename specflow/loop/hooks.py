"""Rhythms and hooks: what happens between device loops, and when."""

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from specflow.distributed import collectives

__all__ = [
    "Action",
    "EverySeconds",
    "EverySteps",
    "StopTraining",
    "Trigger",
    "call_all",
    "call_hooks",
]


class StopTraining(Exception):
    """A request, not an error: raised by a hook, it ends training after these steps."""


Action = Callable[[int, Any], None]
"""Called with the step and the state, which it must not keep."""


class Trigger(Protocol):
    """When an action is due."""

    @property
    def action(self) -> Action:
        """What is due."""
        ...

    def next_after(self, step: int) -> int | None:
        """The next step at which the action is due; None if steps do not tell."""
        ...

    def is_due(self, step: int) -> bool:
        """Whether the action is due at a step that was just taken."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class EverySteps:
    """An action every so many steps.

    >>> trigger = EverySteps(100, print, start=30)
    >>> trigger.next_after(30), trigger.next_after(130), trigger.is_due(230)
    (130, 230, True)
    """

    every: int
    """Steps between two calls; 0 for never."""
    action: Action
    start: int = 0
    """The step from which they are counted."""

    def next_after(self, step: int) -> int | None:
        if not self.every:
            return None
        return step + self.every - (step - self.start) % self.every

    def is_due(self, step: int) -> bool:
        return bool(self.every) and (step - self.start) % self.every == 0


class EverySeconds:
    """An action every so many seconds, at the end of a device loop.

    Args:
        every_s: seconds between two calls; counted from when this object is made.
        action: what is due.
        clock: gives the seconds; another one for tests.

    >>> now = iter([0.0, 5.0, 12.0, 13.0])
    >>> trigger = EverySeconds(10.0, print, clock=lambda: next(now))
    >>> [trigger.is_due(step) for step in (1, 2, 3)]
    [False, True, False]
    """

    def __init__(
        self,
        every_s: float,
        action: Action,
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.every_s, self.action, self._clock = every_s, action, clock
        self._last = clock()

    def next_after(self, step: int) -> int | None:
        return None

    def is_due(self, step: int) -> bool:
        now = self._clock()
        # The clocks of several processes differ: that of process 0 counts.
        if not collectives.on_process_zero(lambda: now - self._last >= self.every_s):
            return False
        self._last = now
        return True


def call_hooks(hooks: Iterable[Any], method: str, *args: Any) -> None:
    """Calls a method of every hook that has it, in order.

    Raises:
        StopTraining: one of them asked for it; the others were still called.
    """
    functions = (getattr(hook, method, None) for hook in hooks)
    call_all((function for function in functions if function is not None), *args)


def call_all(functions: Iterable[Callable[..., Any]], *args: Any) -> None:
    """Calls every function, in order.

    Raises:
        StopTraining: one of them asked for it; the others were still called.
    """
    wish: StopTraining | None = None
    for function in functions:
        try:
            function(*args)
        except StopTraining as stop:
            wish = wish or stop
    if wish is not None:
        raise wish
