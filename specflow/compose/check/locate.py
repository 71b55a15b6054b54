"""Origins for diagnostics that are found after composition."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from specflow.compose.check.pydantic_errors import shown
from specflow.compose.check.targets import NAMES
from specflow.compose.start_folder import with_places
from specflow.config.base import PARTIAL, TARGET, raised_in
from specflow.config.plugins.components import plugins_of
from specflow.diagnostics import user_code
from specflow.diagnostics.errors import ConfigError, Diagnostic, SpecflowError
from specflow.runtime.plain_tree import leaves, value_at

if TYPE_CHECKING:
    from specflow.compose.overrides import Composed

__all__ = ["placed", "placing_errors"]

_OF_ARGUMENTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
)
"""What libraries raise for arguments that they cannot use."""


def placed(diagnostic: Diagnostic, composed: "Composed") -> Diagnostic:
    """Adds the file and line, or the override, that set the key of a diagnostic.

    An origin that is already known stays; a key that no layer set gets none, nor does a
    section that several files or overrides set.

    >>> from specflow.compose import compose
    >>> composed = compose(["experiment=digits", "mesh.axes.data=4"])
    >>> print(placed(Diagnostic("mesh.axes", "needs 4 devices"), composed))
    mesh.axes: needs 4 devices (override mesh.axes.data=4).
    >>> print(placed(Diagnostic("loop.batch_size", "got 128"), composed))
    loop.batch_size: got 128 (conf/loop/default.yaml:4:1).
    >>> print(placed(Diagnostic("features.image", "is empty"), composed))
    features.image: is empty.
    """
    diagnostic = with_places(diagnostic, composed)
    if diagnostic.origin or not diagnostic.where:
        return diagnostic
    own = composed.places.get(diagnostic.where)
    origins = (
        {own}
        if own
        else {
            origin
            for key, origin in composed.places.items()
            if key.startswith(f"{diagnostic.where}.")
        }
    )
    # Overrides come first: the files set the rest of the section without a problem.
    overrides = {origin for origin in origins if origin.startswith("override ")}
    origins = overrides or origins - {"default"}
    return (
        dataclasses.replace(diagnostic, origin=origins.pop())
        if len(origins) == 1
        else diagnostic
    )


@contextmanager
def placing_errors(composed: "Composed") -> Iterator[None]:
    """Adds to errors of a block the file or override that set the wrong value.

    Args:
        composed: the experiment that the block runs.

    Raises:
        ConfigError: a callable that the config names cannot use its arguments.
    """
    try:
        yield
    except SpecflowError as error:
        error.diagnostics = tuple(
            placed(diagnostic, composed) for diagnostic in error.diagnostics
        )
        raise
    except Exception as error:
        if failed := _failed_target(error, composed):
            raise ConfigError(failed) from error
        error.section = _section_of(error, composed)  # type: ignore[attr-defined]
        raise


def _section_of(error: BaseException, composed: "Composed") -> Diagnostic | None:
    """Returns the section that names the user's code in which an error was raised.

    Args:
        error: what the user's code raised.
        composed: the experiment.

    Returns:
        A diagnostic of that section, without a problem; None if it is not unique.
    """
    named = dict(_callables(composed.tree))
    for key, plugin in plugins_of(composed.config).items():
        named[key] = plugin.value.replace(":", ".")
    for place in reversed(user_code.functions(error)):
        exact = [
            key for key, path in named.items() if f"{place}.".startswith(f"{path}.")
        ]
        near = [
            key for key, path in named.items()
            if place.startswith(f"{path.rpartition('.')[0]}.")
        ]  # fmt: skip
        keys = exact or near
        if len(keys) == 1:
            return placed(Diagnostic(keys[0], "", code="user-code"), composed)
    return None


def _failed_target(error: BaseException, composed: "Composed") -> Diagnostic | None:
    """Returns what is wrong if a library's callable that a config names has failed.

    Libraries seldom check types: a wrong argument is an error deep inside of them, when
    the callable is called or, of an optimizer, when what it returned is used.

    Args:
        error: raised by anything but specflow's checks or the user's code.
        composed: the experiment.

    Returns:
        A diagnostic of the target; None if the error is another one.
    """
    if not isinstance(error, _OF_ARGUMENTS) or user_code.is_users(error):
        return None
    trusted = tuple(f"{name}." for name in NAMES)
    named = {
        key: path for key, path in _callables(composed.tree) if path.startswith(trusted)
    }
    # Of targets inside of one another, the first note is that of the innermost.
    noted = [
        [key for key, path in named.items() if raised_in(path) == note]
        for note in getattr(error, "__notes__", ())
    ]
    keys = next(filter(None, noted), [])
    if not keys:
        # What an optimizer's target returned is called later, without its name.
        packages = user_code.packages(error)
        inside = [
            key
            for key, path in named.items()
            if key.startswith("optimizer") and path.partition(".")[0] in packages
        ]
        outer = [
            key
            for key in inside
            if not any(key.startswith(f"{other}.") for other in inside)
        ]
        keys = outer if len(outer) == 1 else []
    if not keys:
        return None
    # Several that name the same callable cannot be told apart.
    given = {**value_at(composed.tree, keys[0].split("."))} if len(keys) == 1 else {}
    given = {key: given[key] for key in given if key not in (TARGET, PARTIAL)}
    first, *_ = str(error).splitlines() or [""]
    diagnostic = Diagnostic(
        " or ".join(keys),
        f"{named[keys[0]]} failed: {type(error).__name__}: {first}",
        expected="arguments that it can use",
        hint=_end(f"It was given {shown(given)}") if given else "",
        code="target-failed",
    )
    return placed(diagnostic, composed)


def _end(text: str) -> str:
    return text if text.endswith("...") else f"{text}."


def _callables(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields (dotted section, dotted path) of every callable that a config names."""
    for path, value in leaves(tree):
        if path[-1] in (TARGET, "model_fn") and isinstance(value, str):
            section = path[:-1] if path[-1] == TARGET else path
            yield ".".join(map(str, section)), value
