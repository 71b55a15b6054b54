"""Layers that remember what they wrote at one key: who set it, and over what."""

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
        super().lay_overrides(overrides)
        self.look()

    def _lay_override(self, override: Override) -> None:
        super()._lay_override(override)
        self.look()

    def look(self) -> None:
        """Notes what stands at the key, if a layer has just written it."""
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
