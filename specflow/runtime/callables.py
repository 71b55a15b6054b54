"""Functions that users hand over, checked where they are handed over."""

import inspect
from collections.abc import Mapping
from typing import Any

from specflow.diagnostics.errors import Diagnostic, config_error
from specflow.runtime.typing import describe

__all__ = ["check_callables", "unfit_methods"]


def check_callables(
    functions: Mapping[str, Any], *, expected: str = "a function"
) -> None:
    """Refuses what cannot be called; None stands for an argument left out.

    Args:
        functions: name of the argument -> what was given.
        expected: what would have been right.

    Raises:
        ConfigError: (also a TypeError) one is no function.

    >>> check_callables({"init_fn": 3})
    Traceback (most recent call last):
    specflow.ConfigError: init_fn: got int. Expected a function.
    """
    diagnostics = [
        Diagnostic(
            name,
            f"got {describe(given)}",
            expected=expected,
            kind=TypeError,
            code="callable",
        )
        for name, given in functions.items()
        if given is not None and not callable(given)
    ]
    if diagnostics:
        raise config_error(*diagnostics)


def unfit_methods(value: object, methods: Mapping[str, str]) -> str:
    """Which methods take other arguments than they are called with; empty if none do.

    Args:
        value: an object with any of the methods.
        methods: name -> the arguments, as `step, loss`.

    >>> class Bell:
    ...     def begin(self): ...
    >>> unfit_methods(Bell(), {"begin": "step", "end": "step"})
    'begin() is called as begin(step).'
    """
    told = []
    for name, arguments in methods.items():
        method = getattr(value, name, None)
        if not callable(method):
            continue
        try:
            signature = inspect.signature(method)
        except (TypeError, ValueError):
            continue  # Python cannot tell.
        try:
            signature.bind(*[part for part in arguments.split(", ") if part])
        except TypeError:
            told.append(f"{name}{signature} is called as {name}({arguments}).")
    return " ".join(told)
