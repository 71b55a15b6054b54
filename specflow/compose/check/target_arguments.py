"""Check of a target's arguments against its signature; nothing is called."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from specflow.compose.provenance import Origins
from specflow.config.base import ARGS, PARTIAL, TARGET
from specflow.diagnostics.errors import Diagnostic, did_you_mean, nearest

__all__ = ["argument_diagnostics"]

Path = tuple[str, ...]

_BY_POSITION = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)
_WITHOUT_USE = {
    "_recursive_": "targets among arguments are always called",
    "_convert_": "mappings and lists are always plain",
}
"""Words of Hydra that have no use here -> why."""


def argument_diagnostics(
    path: Path,
    name: str,
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    supplied: Mapping[str, bool],
    origins: Origins,
    *,
    is_inside: bool = False,
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
        is_inside: whether the target is among the arguments of another one.
    """
    words = {
        key: arguments[key]
        for key in (ARGS, PARTIAL, *_WITHOUT_USE)
        if key in arguments
    }
    bad = [*_bad_words(path, words, origins, is_inside=is_inside)]
    yield from bad
    parameters = _parameters(function)
    if parameters is None or bad:
        return
    count = len(words.get(ARGS, ()))
    by_position = [one for one in parameters if one.kind in _BY_POSITION]
    section = ".".join(path)
    if count > len(by_position) and all(
        one.kind is not one.VAR_POSITIONAL for one in parameters
    ):
        yield _diagnostic(
            (*path, ARGS),
            f"has {count} values",
            f"{len(by_position)} or fewer, which {name} takes by position",
            origins=origins,
        )
    taken = {one.name for one in by_position[:count]}
    by_name = {
        one.name: one
        for one in parameters
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        and one.name not in taken
    }
    if not any(one.kind is one.VAR_KEYWORD for one in parameters):
        for key in arguments:
            if key in by_name or key in words:
                continue
            near = did_you_mean(nearest(key, by_name), prefix=f"{section}.")
            listed = f"Arguments of {name}: {', '.join(by_name)}."
            yield _diagnostic(
                (*path, key),
                f"is given by {ARGS} too" if key in taken else "no such argument",
                hint=f"{near} {listed}".strip(),
                origins=origins,
            )
        missing = [
            key for key, needed in supplied.items() if needed and key not in by_name
        ]
        if missing:
            yield _diagnostic(
                (*path, TARGET),
                f"{name} has no argument {' and no '.join(missing)}",
                f"a callable that takes {' and '.join(supplied)}, which are passed to "
                "it",
                f"Arguments of {name}: {', '.join(by_name)}.",
                origins=origins,
            )
    if words.get(PARTIAL):
        return
    origin = origins.nearest((*path, TARGET))
    for one in by_name.values():
        needed = one.default is one.empty
        if needed and one.name not in arguments and one.name not in supplied:
            yield Diagnostic(
                f"{section}.{one.name}",
                "is missing",
                f"an argument of {name}, which has no default for it",
                f"For a function of the arguments that are missing: {PARTIAL}: true."
                if is_inside
                else "",
                origin.exact if origin else "",
                "target-argument",
            )


def _bad_words(
    path: Path, words: Mapping[str, Any], origins: Origins, *, is_inside: bool
) -> Iterator[Diagnostic]:
    """Reports values of `_args_` and `_partial_`, and other words of Hydra."""
    for key, value in words.items():
        spot = (*path, key)
        if key in _WITHOUT_USE:
            hint = f"Leave it out: {_WITHOUT_USE[key]}."
            yield _diagnostic(spot, "has no effect", hint=hint, origins=origins)
        elif key == ARGS and not isinstance(value, list):
            yield _diagnostic(
                spot, f"got {value!r}", "a list of arguments", origins=origins
            )
        elif key == PARTIAL and not isinstance(value, bool):
            yield _diagnostic(spot, f"got {value!r}", "true or false", origins=origins)
        elif key == PARTIAL and not is_inside:
            yield _diagnostic(
                spot,
                "has no effect: specflow calls the target of a section itself",
                hint="Leave it out, or set it for a target among the arguments.",
                origins=origins,
            )


def _diagnostic(
    spot: Path,
    problem: str,
    expected: str = "",
    hint: str = "",
    *,
    origins: Origins,
) -> Diagnostic:
    origin = origins.nearest(spot)
    where = origin.exact if origin else ""
    return Diagnostic(".".join(spot), problem, expected, hint, where, "target-argument")


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
