"""The composed config as lines, each of which is an override."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from specflow.compose.read.override_grammar import shell, spell

if TYPE_CHECKING:
    from specflow.compose.merge.component_changes import DroppedField
    from specflow.compose.overrides import Composed

__all__ = ["leaf_paths", "leaves", "lines"]

_KEY = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
_WIDEST = 44
"""Columns up to which comments are aligned; a longer line does not move the others."""


def leaves(
    tree: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields (path, value) of every leaf that an override can set; `name` first.

    A list is a leaf, and so is a mapping that is empty or has a key that no override
    can spell.

    >>> list(leaves({"data": {"size": [1, 2], "name": "mine"}, "params": {"a.b": 1}}))
    [(('data', 'name'), 'mine'), (('data', 'size'), [1, 2]), (('params',), {'a.b': 1})]
    """
    for key in sorted(tree, key=lambda key: key != "name"):
        value, inner = tree[key], (*path, str(key))
        if isinstance(value, Mapping) and value and all(map(_is_plain, value)):
            yield from leaves(value, inner)
        else:
            yield inner, value


def leaf_paths(tree: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Returns the paths of all leaves."""
    return [path for path, _ in leaves(tree)]


def lines(
    composed: "Composed", *, dim: bool = False, trusted_by: str = "command line"
) -> list[str]:
    """Returns a line per choice and per leaf, with the origin in a `#` comment.

    Each line is an override, quoted for a shell; all of them together, given to a bare
    `specflow show`, compose the same config. Fields of files that a later layer
    invalidated follow as comments.

    Args:
        composed: the experiment.
        dim: dims the comments, for a terminal.
        trusted_by: origin of the trusted packages.
    """
    pairs = list(_pairs(composed, trusted_by))
    width = max((len(line) for line, _ in pairs if len(line) <= _WIDEST), default=0)
    before, after = ("\x1b[2m", "\x1b[0m") if dim else ("", "")
    shown = [f"{line:<{width}}  {before}# {note}{after}" for line, note in pairs]
    dropped_lines = (
        f"{before}# dropped: {_dropped_line(field)}{after}"
        for field in composed.dropped
    )
    return [*shown, *dropped_lines]


def _pairs(composed: "Composed", trusted_by: str) -> Iterable[tuple[str, str]]:
    if composed.trust:
        yield shell(f"trust={spell(list(composed.trust))}"), trusted_by
    if composed.run is not None:
        yield shell(f"run={spell(composed.run)}"), "command line"
    # The experiment first: the other choices vary it.
    ordered = sorted(composed.choices.items(), key=lambda pair: pair[0] != "experiment")
    for group, choice in ordered:
        origin = composed.choice_origins[group]
        yield shell(f"{group}={spell(choice)}"), origin
    for deletion in composed.deletions:
        yield shell(deletion), f"override {deletion}"
    for path, value in leaves(composed.tree):
        key = ".".join(path)
        yield shell(f"{key}={spell(value)}"), composed.origins[key]


def _dropped_line(field: "DroppedField") -> str:
    assignment = shell(f"{field.key}={spell(field.value)}")
    return f"{assignment} ({field.origin}): {field.reason} ({field.cause})"


def _is_plain(key: Any) -> bool:
    return isinstance(key, str) and bool(_KEY.fullmatch(key))
