"""Saving while training, and those who listen to it."""

from collections.abc import Callable, Sequence
from typing import Any

from specflow.executor import TrainState
from specflow.loop import StopTraining, call_hooks

__all__ = ["LISTENER_METHODS", "Saver"]

LISTENER_METHODS = {
    "begin": "",
    "before_save": "step",
    "after_save": "step",
    "end": "step",
}
"""What a listener may define -> its arguments; each is optional, one is there."""


class Saver:
    """Saves states of one call to train, and tells the listeners.

    A listener has any of begin(), before_save(step), after_save(step), end(step). True
    from its after_save ends training, but for the first save of the call.

    Args:
        write: (step, state): writes a checkpoint.
        listeners: told in their order.
    """

    def __init__(
        self, write: Callable[[int, TrainState], None], listeners: Sequence[Any] = ()
    ):
        self._write, self._listeners = write, listeners
        self._last: int | None = None
        call_hooks(listeners, "begin")

    def save(self, step: int, state: TrainState) -> None:
        """Saves a state, unless it is saved already.

        Raises:
            StopTraining: a listener wants it.
        """
        if self.is_saved(step):
            return
        is_first, self._last = self._last is None, step
        call_hooks(self._listeners, "before_save", step)
        self._write(step, state)
        wishes = [
            listener.after_save(step)
            for listener in self._listeners
            if hasattr(listener, "after_save")
        ]
        if any(wishes) and not is_first:
            raise StopTraining

    def is_saved(self, step: int) -> bool:
        """Whether the last save was that of this step."""
        return step == self._last

    def rescue(self, step: int, state: TrainState) -> None:
        """Saves the state where an error ends training; it is that error which counts.

        Listeners hear of it as of any save, unless they heard of this one already. What
        one of them raises does not keep the state from being saved.
        """
        try:
            self.save(step, state)
        except StopTraining:
            pass
        finally:
            self._write(step, state)

    def end(self, step: int, state: TrainState) -> None:
        """Saves the last state; nothing is left to stop."""
        try:
            self.save(step, state)
        except StopTraining:
            pass
        call_hooks(self._listeners, "end", step)
