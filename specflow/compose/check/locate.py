"""Origins for diagnostics that are found after composition."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from specflow.compose.start_folder import with_places
from specflow.config.base import TARGET
from specflow.config.plugins.components import plugins_of
from specflow.diagnostics import user_code
from specflow.diagnostics.errors import Diagnostic
from specflow.runtime.plain_tree import leaves

if TYPE_CHECKING:
    from specflow.compose.overrides import Composed

__all__ = ["placed", "section_of"]


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


def section_of(error: BaseException, composed: "Composed") -> Diagnostic | None:
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


def _callables(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields (dotted section, dotted path) of every callable that a config names."""
    for path, value in leaves(tree):
        if path[-1] in (TARGET, "model_fn") and isinstance(value, str):
            section = path[:-1] if path[-1] == TARGET else path
            yield ".".join(map(str, section)), value
