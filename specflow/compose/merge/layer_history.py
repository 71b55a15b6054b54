"""A config merger that records every value written at one key."""

import copy
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from specflow.compose.merge.config_merger import ConfigMerger
from specflow.compose.provenance import Origin
from specflow.runtime.plain_tree import ABSENT, value_at

__all__ = ["LayerValue", "RecordingMerger"]


@dataclasses.dataclass(frozen=True)
class LayerValue:
    """Value of a key in one layer, and its origin."""

    origin: Origin
    value: Any
    """Value as written, without resolved interpolations or filled-in defaults."""


class RecordingMerger(ConfigMerger):
    """Merges layers, and records the values written at one key.

    >>> merger = RecordingMerger(("lr",))
    >>> _ = merger.merge_value(("lr",), 0.1)
    >>> merger.origins.record_value(("lr",), 0.1, "lr=0.1")
    >>> merger.record()
    >>> [(str(layer.origin), layer.value) for layer in merger.values]
    [('override lr=0.1', 0.1)]
    """

    def __init__(self, path: tuple[str, ...]):
        super().__init__()
        self.path = path
        self.values: list[LayerValue] = []
        """Values written at the key, in the order of the layers."""

    def merge_file(self, file: Path, shown: str, package: str = "") -> None:
        super().merge_file(file, shown, package)
        self.record()

    def merge_data(self, file: Path, shown: str) -> None:
        super().merge_data(file, shown)
        self.record()

    def apply_overrides(self, overrides: Iterable[Override]) -> None:
        super().apply_overrides(overrides)
        self.record()

    def _apply_override(self, override: Override) -> None:
        super()._apply_override(override)
        self.record()

    def record(self) -> None:
        """Records the value at the key if the last layer changed it."""
        origin = self.origins.leaf(self.path)
        # A copy: later layers are merged into the same mappings.
        value = copy.deepcopy(value_at(self.tree, self.path))
        if value is ABSENT:
            key = ".".join(self.path)
            causes = (
                field.cause for field in reversed(self.dropped) if field.key == key
            )
            origin = next(causes, origin)
        layer_value = LayerValue(origin, value)
        last = self.values[-1] if self.values else LayerValue(Origin("default"), ABSENT)
        if layer_value != last and (value is not ABSENT or self.values):
            self.values.append(layer_value)
