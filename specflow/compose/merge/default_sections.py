"""Completion of partial sections by the defaults of their fields."""

from collections.abc import Callable
from functools import partial
from typing import Any

from specflow.compose.merge.merging import has_index_keys, merge
from specflow.compose.section_types import Slot
from specflow.config.base import TARGET, Config

__all__ = ["default_values", "fold_defaults"]


def fold_defaults(tree: Any, slot: Slot) -> Any:
    """Merges partial sections into the defaults of their fields.

    `optimizer.schedule.warmup_steps=10` alone applies to the default schedule, whose
    name need not be repeated; `mesh.rules.0.path=...` alone applies to an item of the
    default list.
    """
    if not isinstance(tree, dict):
        return tree
    if slot.default is not None and slot.holds([]) and has_index_keys(tree):
        return _merge_items(_plain_items(slot.default()), tree)
    if slot.default is not None and not tree.keys() & {"name", TARGET}:
        tree = {**default_values(slot.default), **tree}
    folded = {}
    for key, value in tree.items():
        inner = slot.child(key, tree) if isinstance(key, str) else None
        folded[key] = value if inner is None else fold_defaults(value, inner)
    return folded


def _merge_items(items: list[Any], tree: dict[Any, Any]) -> Any:
    """Merges values into the items of a list; returns `tree` if an item is missing."""
    merged = {"": items}
    return tree if merge(merged, {"": tree}).missing else merged[""]


def _plain_items(items: list[Any]) -> list[Any]:
    """Returns a list of sections as plain values."""
    return [
        item.model_dump(by_alias=True) if isinstance(item, Config) else item
        for item in items
    ]


def default_values(default: Callable[..., Any]) -> dict[str, Any]:
    """Values of a default section that differ from its class, and its name.

    Args:
        default: the section's class, or a `partial` of it.

    >>> from specflow.config.experiment import ExperimentConfig
    >>> from specflow.config.sections.mesh import MeshConfig
    >>> default_values(MeshConfig.model_fields["axes"].default_factory)
    {'data': -1}
    >>> default_values(ExperimentConfig.model_fields["model"].default_factory)
    {'name': 'mlp'}
    """
    section, values = default, {}
    if isinstance(default, partial):
        section, values = default.func, default.keywords
    name = getattr(section, "model_fields", {}).get("name")
    return {**({} if name is None else {"name": name.default}), **values}
