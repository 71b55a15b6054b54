"""Differences between two experiments: by value, not by how they were written."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from specflow.compose.inspect.experiment_sources import Side
from specflow.compose.read.override_grammar import format_value
from specflow.compose.section_types import ROOT, Slot
from specflow.config.base import TARGET
from specflow.runtime.plain_tree import ABSENT

__all__ = ["Difference", "as_lines", "as_plain", "compare"]

_KINDS = ("name", TARGET, "model_fn")
"""Keys that select the kind of a section."""
_WIDEST = 60
"""Columns up to which comments are aligned; a longer line does not move the others."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """A key whose values differ; `ABSENT` where a side has no such key."""

    key: str
    a: Any
    b: Any
    a_origin: str = ""
    b_origin: str = ""
    is_kind: bool = False
    """True if the values are kinds of a section; differing fields follow."""


def compare(a: Side, b: Side) -> list[Difference]:
    """Returns every key whose values differ.

    A section of a different kind is reported as such, before its fields. The order of
    keys does not count, except for the parts of an optimizer, where the first match
    trains a parameter.

    >>> from specflow.compose.inspect.experiment_sources import read_side
    >>> for one in compare(read_side("mesh=data"), read_side("mesh=single seed=1")):
    ...     print(one.key, one.a, one.b, one.b_origin)
    seed 0 1 override seed=1
    mesh.axes.data -1 1 conf/mesh/single.yaml:3
    """
    differences = [
        dataclasses.replace(
            one,
            a_origin=_origin(a, one.key, one.a),
            b_origin=_origin(b, one.key, one.b),
        )
        for one in _differences((), ROOT, a.tree, b.tree)
    ]
    # A field that only one of two kinds has is reported if a layer has set it.
    return [
        difference
        for difference in differences
        if {difference.a_origin, difference.b_origin} != {"", "default"}
    ]


def as_lines(differences: Sequence[Difference], *, dim: bool = False) -> list[str]:
    """Returns one line per difference: the values and their origins.

    Args:
        differences: as returned by `compare`.
        dim: dims the comments, for a terminal.
    """
    pairs = [
        (
            f"{one.key}: {_shown(one.a)} -> {_shown(one.b)}"
            + (" (different kind)" if one.is_kind else ""),
            " -> ".join(origin or "-" for origin in (one.a_origin, one.b_origin)),
        )
        for one in differences
    ]
    width = max((len(line) for line, _ in pairs if len(line) <= _WIDEST), default=0)
    before, after = ("\x1b[2m", "\x1b[0m") if dim else ("", "")
    return [f"{line:<{width}}  {before}# {note}{after}" for line, note in pairs]


def as_plain(differences: Sequence[Difference]) -> list[dict[str, Any]]:
    """Returns the differences as plain values; null for a side without the key."""
    return [
        {
            "key": one.key,
            "what": "kind" if one.is_kind else "value",
            "a": _plain(one.a, one.a_origin),
            "b": _plain(one.b, one.b_origin),
        }
        for one in differences
    ]


def _differences(
    path: tuple[str, ...], slot: Slot | None, a: Any, b: Any
) -> Iterator[Difference]:
    key = ".".join(path)
    if not (isinstance(a, Mapping) and isinstance(b, Mapping)):
        if a != b or isinstance(a, bool) != isinstance(b, bool):
            yield Difference(key, a, b)
        return
    is_kind = slot is not None and slot.kinds is not None
    kinds = [_kind(side) for side in (a, b)] if is_kind else []
    if is_kind and kinds[0] != kinds[1]:
        yield Difference(key, kinds[0], kinds[1], is_kind=True)
    for name in {**a, **b}:
        if is_kind and name in _KINDS:
            continue
        child = slot.child(name, a if name in a else b) if slot else None
        below = (*path, str(name))
        yield from _differences(below, child, a.get(name, ABSENT), b.get(name, ABSENT))
        if kinds == ["parts", "parts"] and name == "parts":
            yield from _order(".".join(below), a[name], b[name])


def _order(key: str, a: Any, b: Any) -> Iterator[Difference]:
    first = [name for name in a if name in b]
    second = [name for name in b if name in a]
    if first != second:
        yield Difference(key, first, second)


def _kind(section: Mapping[str, Any]) -> Any:
    """Returns the kind of a section: its name, or its callable."""
    kinds = (section[key] for key in reversed(_KINDS) if key in section)
    return next(kinds, ABSENT)


def _origin(side: Side, key: str, value: Any) -> str:
    """Returns the origin of a key, or for a section that of its kind."""
    if value is ABSENT:
        return ""
    keys = [key, *(f"{key}.{name}" for name in reversed(_KINDS))]
    below = (leaf for leaf in side.origins if leaf.startswith(f"{key}."))
    origins = (side.origins[leaf] for leaf in (*keys, *below) if leaf in side.origins)
    return next(origins, "default")


def _plain(value: Any, origin: str) -> dict[str, Any] | None:
    return None if value is ABSENT else {"value": value, "origin": origin}


def _shown(value: Any) -> str:
    return "-" if value is ABSENT else format_value(value)
