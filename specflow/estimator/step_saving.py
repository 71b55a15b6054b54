"""Saving of checkpoints while training, and its listeners."""

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
"""Method of a listener -> its arguments; a listener has at least one method."""


class Saver:
    """Saves states of one call to train, and calls the listeners.

    A listener has any of begin(), before_save(step), after_save(step), end(step). Its
    after_save returns True to end training, except after the first save of the call.

    Args:
        write: writes a checkpoint: (step, state).
        listeners: called in order.
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
            StopTraining: A listener requests it.
        """
        if self.is_saved(step):
            return
        is_first, self._last = self._last is None, step
        call_hooks(self._listeners, "before_save", step)
        self._write(step, state)
        requests = [
            listener.after_save(step)
            for listener in self._listeners
            if hasattr(listener, "after_save")
        ]
        if any(requests) and not is_first:
            raise StopTraining

    def is_saved(self, step: int) -> bool:
        """Returns True if the last save was that of this step."""
        return step == self._last

    def save_on_error(self, step: int, state: TrainState) -> None:
        """Saves the state after an error that ends training.

        Listeners are called as for any save, unless they were called for this step.
        Their errors do not prevent the save.
        """
        try:
            self.save(step, state)
        except StopTraining:
            pass
        finally:
            self._write(step, state)

    def end(self, step: int, state: TrainState) -> None:
        """Saves the last state, and calls `end` of the listeners."""
        try:
            self.save(step, state)
        except StopTraining:
            pass
        call_hooks(self._listeners, "end", step)
