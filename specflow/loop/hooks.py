"""Hooks: objects of the user that are called around device loops."""

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["StopTraining", "call_all", "call_hooks", "state_methods"]

_STATE_METHODS = (("get_state", "set_state"), ("state_dict", "load_state_dict"))
"""Methods with which an object has a state: those of iterators, and PyTorch's."""


class StopTraining(Exception):
    """Raised by a hook to request the end of training after the current steps."""


def state_methods(
    hook: object,
) -> tuple[Callable[[], Any], Callable[[Any], Any]] | None:
    """Returns the methods that read and set the state of a hook; None without one.

    >>> class Counter:
    ...     count = 0
    ...     def get_state(self):
    ...         return self.count
    ...     def set_state(self, count):
    ...         self.count = count
    >>> read, _ = state_methods(Counter())
    >>> read(), state_methods(object())
    (0, None)
    """
    for names in _STATE_METHODS:
        read, write = (getattr(hook, name, None) for name in names)
        if callable(read) and callable(write):
            return read, write
    return None


def call_hooks(hooks: Iterable[Any], method: str, *args: Any) -> None:
    """Calls a method of every hook that defines it, in order.

    Raises:
        StopTraining: A hook requested it. The remaining hooks were still called.
    """
    functions = (getattr(hook, method, None) for hook in hooks)
    call_all((function for function in functions if function is not None), *args)


def call_all(functions: Iterable[Callable[..., Any]], *args: Any) -> None:
    """Calls every function, in order.

    Raises:
        StopTraining: A function requested it. The remaining ones were still called.
    """
    request: StopTraining | None = None
    for function in functions:
        try:
            function(*args)
        except StopTraining as stop:
            request = request or stop
    if request is not None:
        raise request
