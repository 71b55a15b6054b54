"""Merging of plain values: mappings by key, lists by index; others are replaced."""

import copy
import dataclasses
from typing import Any

__all__ = ["Merged", "is_of_items", "merge"]

Path = tuple[str, ...]


@dataclasses.dataclass
class Merged:
    """Lists that a merge changed, and items that it could not find."""

    lists: set[Path] = dataclasses.field(default_factory=set)
    """Lists with an item into which something was merged."""
    missing: list[tuple[Path, int]] = dataclasses.field(default_factory=list)
    """(path of an item beyond the end of its list, length of the list); skipped."""


def merge(into: dict[Any, Any], value: dict[Any, Any]) -> Merged:
    """Merges a mapping into another, in place, as OmegaConf does.

    A mapping keyed by indices of a list, such as `mesh.rules.0.path=...` makes, merges
    into the items at those indices.

    >>> tree = {"rules": [{"path": "**", "along": "fsdp"}]}
    >>> merge(tree, {"rules": {"0": {"path": "**.bias"}}}).lists
    {('rules',)}
    >>> tree
    {'rules': [{'path': '**.bias', 'along': 'fsdp'}]}
    """
    merged = Merged()
    _merge(into, value, (), merged)
    return merged


def is_of_items(value: Any) -> bool:
    """Returns whether a value is a mapping keyed by indices of a list.

    >>> is_of_items({"0": 16}), is_of_items({}), is_of_items({"0": 1, "a": 2})
    (True, False, False)
    """
    is_filled = isinstance(value, dict) and bool(value)
    return is_filled and all(str(key).isdecimal() for key in value)


def _merge(into: Any, value: dict[Any, Any], path: Path, merged: Merged) -> None:
    is_list = isinstance(into, list)
    for key, new in value.items():
        inner, place = (*path, str(key)), int(key) if is_list else key
        if is_list and place >= len(into):
            merged.missing.append((inner, len(into)))
            continue
        old = into[place] if is_list else into.get(key)
        if isinstance(old, list) and is_of_items(new):
            merged.lists.add(inner)
            _merge(old, new, inner, merged)
        elif isinstance(old, dict) and isinstance(new, dict):
            _merge(old, new, inner, merged)
        else:
            # A copy: later merges must not change the document that was read.
            into[place] = copy.deepcopy(new)
