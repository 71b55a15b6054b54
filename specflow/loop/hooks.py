"""Hooks: objects of the user that are called around device loops."""

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["StopTraining", "call_all", "call_hooks"]


class StopTraining(Exception):
    """Raised by a hook to request the end of training after the current steps."""


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
