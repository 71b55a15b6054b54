"""Layers that remember what they wrote at one key: who set it, and over what."""

import copy
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from specflow.compose.layers import Layers
from specflow.compose.provenance import Origin

__all__ = ["ABSENT", "Watched", "Written", "value_at"]


class _Absent:
    """What stands where nothing does; copies of it are it."""

    def __deepcopy__(self, memo: Any) -> "_Absent":
        return self


ABSENT: Any = _Absent()
"""What stands where nothing does."""


@dataclasses.dataclass(frozen=True)
class Written:
    """What one layer set."""

    origin: Origin
    value: Any
    """As it was written: with its interpolations, and without defaults."""


class Watched(Layers):
    """Layers with an eye on one key.

    >>> layers = Watched(("lr",))
    >>> layers.lay(("lr",), 0.1)
    >>> layers.origins.lay_value(("lr",), 0.1, "lr=0.1")
    >>> layers.look()
    >>> [(str(one.origin), one.value) for one in layers.seen]
    [('override lr=0.1', 0.1)]
    """

    def __init__(self, path: tuple[str, ...]):
        super().__init__()
        self.path = path
        self.seen: list[Written] = []
        """What was written at the key, in the order of the layers."""

    def lay_file(self, file: Path, shown: str, package: str = "") -> None:
        super().lay_file(file, shown, package)
        self.look()

    def lay_data(self, file: Path, shown: str) -> None:
        super().lay_data(file, shown)
        self.look()

    def lay_overrides(self, overrides: Iterable[Override]) -> None:
        for override in overrides:
            super().lay_overrides([override])
            self.look()

    def look(self) -> None:
        """Notes what stands at the key, if a layer has just written it."""
        origin = self.origins.leaf(self.path)
        # Later layers are merged into the very same mappings.
        value = copy.deepcopy(value_at(self.tree, self.path))
        written = Written(origin, value)
        last = self.seen[-1] if self.seen else Written(Origin("default"), ABSENT)
        if written != last and (value is not ABSENT or self.seen):
            self.seen.append(written)


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
