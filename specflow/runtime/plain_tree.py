"""Paths, leaves and settings of plain trees: nested mappings and lists, as in YAML."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["ABSENT", "leaves", "settings", "value_at", "walk"]


class _Absent:
    """Type of `ABSENT`; a copy is the same object, so that `is` holds."""

    def __copy__(self) -> "_Absent":
        return self

    def __deepcopy__(self, memo: Any) -> "_Absent":
        return self


ABSENT: Any = _Absent()
"""Value of a path that a tree does not have; null is a value."""


def value_at(tree: Any, path: Iterable[str]) -> Any:
    """Returns the value at a path, or `ABSENT`; a list's item goes by its index.

    >>> value_at({"a": [{"b": 1}]}, ("a", "0", "b")), value_at({}, ("a",)) is ABSENT
    (1, True)
    """
    for key in path:
        if isinstance(tree, Mapping) and key in tree:
            tree = tree[key]
        elif isinstance(tree, list) and key.isdecimal() and int(key) < len(tree):
            tree = tree[int(key)]
        else:
            return ABSENT
    return tree


def walk(
    tree: Any, path: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yields (path, value) of the tree and of every value inside it, parents first.

    Keys in the path are those of the tree, of whatever type; indices are `int`.

    >>> list(walk({"a": [1]}))
    [((), {'a': [1]}), (('a',), [1]), (('a', 0), 1)]
    """
    yield path, tree
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from walk(value, (*path, key))
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            yield from walk(value, (*path, index))


def leaves(tree: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yields (path, value) of every value that is neither a mapping nor a list.

    >>> list(leaves({"a": [1, {}], "b": None}))
    [(('a', 0), 1), (('b',), None)]
    """
    for path, value in walk(tree):
        if not isinstance(value, Mapping | list | tuple):
            yield path, value


def settings(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (dotted key, value) of a config; a list or an empty mapping is a value.

    >>> list(settings({"model": {"hidden": [8], "params": {}}, "seed": 0}))
    [('model.hidden', [8]), ('model.params', {}), ('seed', 0)]
    """
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from settings(value, f"{dotted}.")
        else:
            yield dotted, value
