"""Plain values by their paths."""

from collections.abc import Iterable
from typing import Any

__all__ = ["ABSENT", "value_at"]


class _Absent:
    """What stands where nothing does; copies of it are it."""

    def __deepcopy__(self, memo: Any) -> "_Absent":
        return self


ABSENT: Any = _Absent()
"""What stands where nothing does."""


def value_at(tree: Any, path: Iterable[str]) -> Any:
    """What stands at a path of a tree, or `ABSENT`.

    >>> value_at({"a": [{"b": 1}]}, ("a", "0", "b")), value_at({}, ("a",)) is ABSENT
    (1, True)
    """
    for key in path:
        if isinstance(tree, dict) and key in tree:
            tree = tree[key]
        elif isinstance(tree, list) and key.isdecimal() and int(key) < len(tree):
            tree = tree[int(key)]
        else:
            return ABSENT
    return tree
