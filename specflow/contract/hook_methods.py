"""Hooks of a spec: objects whose methods are called between device loops."""

from collections.abc import Iterable
from typing import Any

from specflow.contract.checked import Flaw, refuse
from specflow.contract.host_pair import HostPair
from specflow.runtime.callables import unfit_methods
from specflow.runtime.typing import describe

__all__ = ["HOOK_METHODS", "HostCallHook", "check_hooks", "is_hook", "renamed"]

HOOK_METHODS = {
    "begin": "step",
    "before_step": "step",
    "after_step": "step, loss",
    "end": "step",
}
"""Method of a hook -> its arguments; a hook has at least one of them."""


def is_hook(value: object) -> bool:
    """Returns whether a value is a hook: an object with at least one of the methods.

    >>> class Bell:
    ...     def end(self, step): ...
    >>> is_hook(Bell()), is_hook(len)
    (True, False)
    """
    return not isinstance(value, type) and any(
        callable(getattr(value, method, None)) for method in HOOK_METHODS
    )


def renamed(hook: object) -> str:
    """Hint for a hook with TensorFlow's method names alone, which are never called.

    Empty for a hook that has the names of specflow too.

    >>> class Bell:
    ...     def begin(self, step): ...
    ...     def after_run(self, context, values): ...
    >>> renamed(Bell())
    'before_run is before_step(step) here, after_run is after_step(step, loss).'
    """
    if any(hasattr(hook, name) for name in ("before_step", "after_step")):
        return ""
    if not any(hasattr(hook, name) for name in ("before_run", "after_run")):
        return ""
    return "before_run is before_step(step) here, after_run is after_step(step, loss)."


def check_hooks(value: Any) -> tuple[Any, ...]:
    """Returns the hooks as a tuple, `()` for None, or raises their flaws."""
    if value is None:
        return ()
    if is_hook(value) or isinstance(value, str) or not isinstance(value, Iterable):
        refuse(
            Flaw(
                f"got {describe(value)}",
                kind=TypeError,
                expected="a list of hooks",
                hint="Write [hook] for a single one.",
            )
        )
    hooks = tuple(value)
    flaws = [
        Flaw(
            f"got {describe(hook)}",
            kind=TypeError,
            at=f"[{index}]",
            expected=f"an object with one of {', '.join(HOOK_METHODS)}",
            hint=renamed(hook) or unfit_methods(hook, HOOK_METHODS),
        )
        for index, hook in enumerate(hooks)
        if not is_hook(hook) or renamed(hook) or unfit_methods(hook, HOOK_METHODS)
    ]
    if flaws:
        refuse(*flaws)
    return hooks


class HostCallHook:
    """Hook that calls the function of a `host_call` after every step."""

    def __init__(self, host_call: HostPair):
        self.host_call = host_call

    def after_step(self, *_: Any) -> None:
        """Calls the function with the tensors' rows."""
        self.host_call()
