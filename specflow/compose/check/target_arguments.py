"""Check of a target's arguments against its signature; nothing is called."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from specflow.compose.provenance import Origins
from specflow.config.base import TARGET
from specflow.diagnostics.errors import Diagnostic, did_you_mean, nearest

__all__ = ["argument_diagnostics"]

Path = tuple[str, ...]


def argument_diagnostics(
    path: Path,
    name: str,
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    supplied: Mapping[str, bool],
    origins: Origins,
) -> Iterator[Diagnostic]:
    """Reports unknown arguments of a callable, and missing required ones.

    Args:
        path: section of the target.
        name: dotted name of the callable.
        function: the callable.
        arguments: those that the section sets.
        supplied: argument that the framework passes -> whether the callable must take
            it.
        origins: origins of the values.
    """
    parameters = _parameters(function)
    if parameters is None:
        return
    by_name = {
        parameter.name: parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    section = ".".join(path)
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        for key in arguments:
            if key in by_name:
                continue
            near = did_you_mean(nearest(key, by_name), prefix=f"{section}.")
            listed = f"Arguments of {name}: {', '.join(by_name)}."
            origin = origins.nearest((*path, key))
            yield Diagnostic(
                f"{section}.{key}",
                "no such argument",
                hint=f"{near} {listed}".strip(),
                origin=origin.exact if origin else "",
                code="target-argument",
            )
        missing = [
            key for key, needed in supplied.items() if needed and key not in by_name
        ]
        if missing:
            origin = origins.nearest((*path, TARGET))
            yield Diagnostic(
                f"{section}.{TARGET}",
                f"{name} has no argument {' and no '.join(missing)}",
                f"a callable that takes {' and '.join(supplied)}, which are passed to "
                "it",
                f"Arguments of {name}: {', '.join(by_name)}.",
                origin.exact if origin else "",
                "target-argument",
            )
    origin = origins.nearest((*path, TARGET))
    for parameter in by_name.values():
        needed = parameter.default is parameter.empty
        if (
            needed
            and parameter.name not in arguments
            and parameter.name not in supplied
        ):
            yield Diagnostic(
                f"{section}.{parameter.name}",
                "is missing",
                f"an argument of {name}, which has no default for it",
                origin=origin.exact if origin else "",
                code="target-argument",
            )


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """Returns the parameters of a callable, or None if Python cannot tell."""
    function = getattr(function, "from_batch", function)
    try:
        if inspect.isclass(function) and function.__init__ is not object.__init__:
            # A metaclass may pass any argument on; the constructor has the signature.
            return list(inspect.signature(function.__init__).parameters.values())[1:]
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
