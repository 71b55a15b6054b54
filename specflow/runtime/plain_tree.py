"""Paths, leaves and settings of plain trees: nested mappings and lists, as in YAML."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["ABSENT", "leaves", "mappings", "settings", "value_at", "walk"]

_KEY = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)


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


def mappings(
    tree: Any, path: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], dict[Any, Any]]]:
    """Yields (path, mapping) of every mapping of a tree, parents first.

    >>> list(mappings({"a": [1, {"b": 2}]}))
    [((), {'a': [1, {'b': 2}]}), (('a', 1), {'b': 2})]
    """
    if isinstance(tree, dict):
        yield path, tree
        items: Iterable[tuple[Any, Any]] = tree.items()
    else:
        items = enumerate(tree)
    for key, value in items:
        if isinstance(value, dict | list | tuple):
            yield from mappings(value, (*path, key))


def settings(
    tree: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields (path, value) of every setting of a config; `name` first.

    A list is one setting, and so is a mapping that is empty or has a key that no
    override can spell.

    >>> list(settings({"data": {"size": [1, 2], "name": "mine"}, "params": {"a.b": 1}}))
    [(('data', 'name'), 'mine'), (('data', 'size'), [1, 2]), (('params',), {'a.b': 1})]
    """
    for key in sorted(tree, key=lambda key: key != "name"):
        value, inner = tree[key], (*path, str(key))
        if isinstance(value, Mapping) and value and all(map(_is_plain, value)):
            yield from settings(value, inner)
        else:
            yield inner, value


def _is_plain(key: Any) -> bool:
    return isinstance(key, str) and bool(_KEY.fullmatch(key))
