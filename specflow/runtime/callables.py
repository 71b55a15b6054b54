"""Checks of functions and objects that users pass in."""

import inspect
from collections.abc import Mapping
from typing import Any

from specflow.diagnostics.errors import Diagnostic, config_error
from specflow.runtime.typing import describe

__all__ = ["check_callables", "unfit_methods"]


def check_callables(
    functions: Mapping[str, Any], *, expected: str = "a function"
) -> None:
    """Raises for arguments that are not callable; None means an omitted argument.

    Args:
        functions: name of the argument -> its value.
        expected: noun phrase for the message.

    Raises:
        ConfigError: (also a TypeError) a value is not callable.

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
    """Describes methods whose signature does not fit their call; empty if all fit.

    Args:
        value: an object with any of the methods.
        methods: name -> its arguments, as `step, loss`.

    >>> class Bell:
    ...     def begin(self): ...
    >>> unfit_methods(Bell(), {"begin": "step", "end": "step"})
    'begin() is called as begin(step).'
    """
    mismatches = []
    for name, arguments in methods.items():
        method = getattr(value, name, None)
        if not callable(method):
            continue
        try:
            signature = inspect.signature(method)
        except (TypeError, ValueError):
            continue  # Built-in functions may have no signature.
        try:
            signature.bind(*[part for part in arguments.split(", ") if part])
        except TypeError:
            mismatches.append(f"{name}{signature} is called as {name}({arguments}).")
    return " ".join(mismatches)
