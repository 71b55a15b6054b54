"""Sections as they are meant, where a wrong key or name hides what is in them."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from specflow.compose.check.pydantic_errors import name_in, name_key
from specflow.compose.check.value_hints import nearest_name
from specflow.compose.merge.component_changes import rejected_fields
from specflow.compose.provenance import Origin, Origins, Path
from specflow.compose.section_types import Slot, fields_of, follow
from specflow.diagnostics.errors import Diagnostic

__all__ = ["MeantSections", "meant_sections", "with_value"]


@dataclasses.dataclass
class MeantSections:
    """A tree in which sections are as they are meant, and what was changed in it."""

    tree: dict[str, Any]
    """Plain values."""
    fixed: set[Path] = dataclasses.field(default_factory=set)
    """Sections that were changed."""
    moved: dict[Path, Path] = dataclasses.field(default_factory=dict)
    """Path of a value -> where it was written, inside of its section once more."""

    def explain(self, diagnostic: Diagnostic) -> bool:
        """Returns whether a key is unknown only because its section is another one.

        Args:
            diagnostic: of the tree as it is written.
        """
        path = tuple(diagnostic.where.split("."))
        if diagnostic.code != "unknown-key" or path[:-1] not in self.fixed:
            return False
        section = follow(path[:-1], self.tree)[1]
        value = follow(path[:-1], self.tree)[3]
        kind = section.section(value) if section else None
        return kind is not None and path[-1] in fields_of(kind)

    def origins(self, origins: Origins) -> Origins:
        """Returns the origins of the values of the tree."""
        return _AsWritten(origins, self.moved) if self.moved else origins


class _AsWritten(Origins):
    """Origins of values that are looked for where they were written."""

    def __init__(self, origins: Origins, moved: Mapping[Path, Path]):
        super().__init__()
        self._origins, self._moved = origins, moved

    def nearest(self, path: Path) -> Origin | None:
        return self._origins.nearest(self._written(path))

    def keys(self, path: Path) -> list[str]:
        return self._origins.keys(self._written(path))

    def _written(self, path: Path) -> Path:
        for length in range(len(path), 0, -1):
            if (written := self._moved.get(path[:length])) is not None:
                return (*written, *path[length:])
        return path


def meant_sections(
    details: Iterable[ErrorDetails], tree: dict[str, Any]
) -> MeantSections:
    """Returns a tree with each section of the kind, and at the place, that is meant.

    The name of a section selects its fields: a misspelled one, or one under another
    key, would hide all other problems of the section, and so would a section that is
    written inside itself.

    Args:
        details: Pydantic's errors of the tree.
        tree: plain values.
    """
    meant = MeantSections(tree)
    for detail in details:
        path, slot, _, value = follow(detail["loc"], meant.tree)
        kind = detail["type"]
        if kind == "extra_forbidden" and path:
            above, outer = path[:-1], follow(path[:-1], meant.tree)
            _correct(meant, above, outer[1], outer[3], path[-1])
        elif kind == "union_tag_not_found" and isinstance(value, Mapping):
            key = path[-1] if path and path[-1] in value else name_key(value)
            _correct(meant, path, slot, value, key)
        elif kind == "union_tag_invalid" and slot is not None:
            words = slot.kinds.words if slot.kinds else ()
            name = value.get("name") if isinstance(value, Mapping) else value
            near = nearest_name(str(name), [*words, *slot.members()])
            if near is not None:
                own = (*path, "name") if isinstance(value, Mapping) else path
                meant.tree = with_value(meant.tree, own, near)
                meant.fixed.add(path)
    return meant


def _correct(
    meant: MeantSections, path: Path, slot: Slot | None, value: Any, key: Any
) -> None:
    """Corrects a section of which one key is another name, or the section itself."""
    inner = value.get(key) if isinstance(value, Mapping) else None
    if slot is None or key is None:
        return
    if isinstance(inner, Mapping):
        if not path or key != path[-1]:
            return
        name, given = inner.get("name"), dict(inner)
        near = nearest_name(str(name), slot.members()) if name is not None else None
    else:
        written, given = name_in(key, inner), {}
        near = nearest_name(written, slot.members()) if written else None
        if near is None:
            return
    rest = {other: it for other, it in value.items() if other != key}
    if near is not None:
        rest, given = {**_kept(rest, slot, near), "name": near}, {**given, "name": near}
    meant.tree = with_value(meant.tree, path, {**rest, **given})
    meant.fixed.add(path)
    if isinstance(inner, Mapping):
        meant.moved |= {(*path, str(at)): (*path, key, str(at)) for at in inner}


def _kept(section: dict[Any, Any], slot: Slot, name: str) -> dict[Any, Any]:
    """Returns a section without what only its own kind accepts."""
    old, new = slot.section(section), slot.members()[name]
    if old is None:
        return section
    own = fields_of(old)
    refused = {
        path[0] for path, _ in rejected_fields(section, Slot(old), Slot(new), ())
    }
    return {
        key: value
        for key, value in section.items()
        if key not in refused or key not in own
    }


def with_value(tree: Any, path: Path, value: Any) -> Any:
    """Returns a copy of plain values with one value replaced, or added.

    >>> with_value({"a": [1, 2], "b": 3}, ("a", "1"), 5)
    {'a': [1, 5], 'b': 3}
    >>> with_value({"b": 3}, ("a",), 5)
    {'b': 3, 'a': 5}
    """
    if not path:
        return value
    key, *rest = path
    if isinstance(tree, list):
        return [
            with_value(inner, tuple(rest), value) if str(place) == key else inner
            for place, inner in enumerate(tree)
        ]
    return {**tree, key: with_value(tree.get(key), tuple(rest), value)}
