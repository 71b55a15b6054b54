"""Rhythms and hooks: what happens between device loops, and when."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["Rhythm", "StopTraining", "call_hooks"]


class StopTraining(Exception):
    """A request, not an error: raised by a hook, it ends training after these steps."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rhythm:
    """An action every so many steps.

    >>> rhythm = Rhythm(100, print)
    >>> rhythm.next_after(0), rhythm.next_after(100), rhythm.is_due(200)
    (100, 200, True)
    """

    every: int
    """Steps between two calls; 0 for never."""
    action: Callable[[int, Any], None]
    """Called with the step and the state; it must not keep the state."""

    def next_after(self, step: int) -> int | None:
        """The next step at which the action is due."""
        return step + self.every - step % self.every if self.every else None

    def is_due(self, step: int) -> bool:
        """Whether the action is due at a step."""
        return bool(self.every) and step % self.every == 0


def call_hooks(hooks: Iterable[Any], method: str, *args: Any) -> None:
    """Calls a method of every hook that has it, in order."""
    for hook in hooks:
        function = getattr(hook, method, None)
        if function is not None:
            function(*args)
