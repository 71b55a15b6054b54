"""Layers that record every value written at one key."""

import copy
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from specflow.compose.merge.layers import Layers
from specflow.compose.provenance import Origin
from specflow.runtime.plain_tree import ABSENT, value_at

__all__ = ["Watched", "Written"]


@dataclasses.dataclass(frozen=True)
class Written:
    """Value of a key in one layer, and its origin."""

    origin: Origin
    value: Any
    """As written: interpolations unresolved, defaults not filled in."""


class Watched(Layers):
    """Layers that record the values written at one key.

    >>> layers = Watched(("lr",))
    >>> layers.merge_value(("lr",), 0.1)
    >>> layers.origins.record_value(("lr",), 0.1, "lr=0.1")
    >>> layers.look()
    >>> [(str(one.origin), one.value) for one in layers.seen]
    [('override lr=0.1', 0.1)]
    """

    def __init__(self, path: tuple[str, ...]):
        super().__init__()
        self.path = path
        self.seen: list[Written] = []
        """Values written at the key, in the order of the layers."""

    def merge_file(self, file: Path, shown: str, package: str = "") -> None:
        super().merge_file(file, shown, package)
        self.look()

    def merge_data(self, file: Path, shown: str) -> None:
        super().merge_data(file, shown)
        self.look()

    def apply_overrides(self, overrides: Iterable[Override]) -> None:
        super().apply_overrides(overrides)
        self.look()

    def _apply_override(self, override: Override) -> None:
        super()._apply_override(override)
        self.look()

    def look(self) -> None:
        """Records the value at the key if a layer has just written it."""
        origin = self.origins.leaf(self.path)
        # Later layers are merged into the very same mappings.
        value = copy.deepcopy(value_at(self.tree, self.path))
        if value is ABSENT:
            key = ".".join(self.path)
            by = (one.by for one in reversed(self.dropped) if one.key == key)
            origin = next(by, origin)
        written = Written(origin, value)
        last = self.seen[-1] if self.seen else Written(Origin("default"), ABSENT)
        if written != last and (value is not ABSENT or self.seen):
            self.seen.append(written)
