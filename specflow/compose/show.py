"""The composed config as lines, each of which is an override."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from specflow.compose.read.override_grammar import format_value, quote_for_shell
from specflow.runtime.plain_tree import settings

if TYPE_CHECKING:
    from specflow.compose.merge.component_changes import DroppedField
    from specflow.compose.overrides import Composed

__all__ = ["lines"]

_WIDEST = 44
"""Columns up to which comments are aligned; a longer line does not move the others."""


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
        yield quote_for_shell(f"trust={format_value(list(composed.trust))}"), trusted_by
    if composed.run is not None:
        yield quote_for_shell(f"run={format_value(composed.run)}"), "command line"
    # The experiment first: the other choices vary it.
    ordered = sorted(composed.choices.items(), key=lambda pair: pair[0] != "experiment")
    for group, choice in ordered:
        origin = composed.choice_origins[group]
        yield quote_for_shell(f"{group}={format_value(choice)}"), origin
    for deletion in composed.deletions:
        yield quote_for_shell(deletion), f"override {deletion}"
    for path, value in settings(composed.tree):
        key = ".".join(path)
        yield quote_for_shell(f"{key}={format_value(value)}"), composed.origins[key]


def _dropped_line(field: "DroppedField") -> str:
    assignment = quote_for_shell(f"{field.key}={format_value(field.value)}")
    return f"{assignment} ({field.origin}): {field.reason} ({field.cause})"
