"""Merging of plain values: mappings by key, lists by index, others replaced."""

import copy
import dataclasses
from typing import Any

__all__ = ["Merged", "has_index_keys", "merge"]

Path = tuple[str, ...]


@dataclasses.dataclass
class Merged:
    """Lists that a merge changed, and items that do not exist."""

    lists: set[Path] = dataclasses.field(default_factory=set)
    """Lists with an item that a value was merged into."""
    missing: list[tuple[Path, int]] = dataclasses.field(default_factory=list)
    """(path, length of the list) of each skipped item, beyond the end of its list."""


def merge(into: Any, value: dict[Any, Any], path: Path = ()) -> Merged:
    """Merges a mapping into a mapping or a list, in place, as OmegaConf does.

    A mapping keyed by indices of a list, such as the one of `mesh.rules.0.path=...`,
    merges into the items at those indices.

    Args:
        into: changed in place.
        value: mapping to merge; its values are copied.
        path: where `into` is, as the beginning of the paths in the result.

    >>> tree = {"rules": [{"path": "**", "along": "fsdp"}]}
    >>> merge(tree, {"rules": {"0": {"path": "**.bias"}}}).lists
    {('rules',)}
    >>> tree
    {'rules': [{'path': '**.bias', 'along': 'fsdp'}]}
    """
    merged, is_list = Merged(), isinstance(into, list)
    for key, new in value.items():
        inner, place = (*path, str(key)), int(key) if is_list else key
        if is_list and place >= len(into):
            merged.missing.append((inner, len(into)))
            continue
        old = into[place] if is_list else into.get(key)
        has_items = isinstance(old, list) and has_index_keys(new)
        if has_items or (isinstance(old, dict) and isinstance(new, dict)):
            below = merge(old, new, inner)
            merged.lists |= {inner, *below.lists} if has_items else below.lists
            merged.missing += below.missing
        else:
            # A copy: later merges must not change the document that was read.
            into[place] = copy.deepcopy(new)
    return merged


def has_index_keys(value: Any) -> bool:
    """Returns whether a value is a mapping keyed by indices of a list.

    >>> has_index_keys({"0": 16}), has_index_keys({}), has_index_keys({"0": 1, "a": 2})
    (True, False, False)
    """
    is_filled = isinstance(value, dict) and bool(value)
    return is_filled and all(str(key).isdecimal() for key in value)
