"""Compares the config of a run with the config that would resume it."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from specflow.config.base import Component
from specflow.config.experiment import ExperimentConfig
from specflow.config.kinds import Kinds
from specflow.config.sections.optimizer import (
    OptimizerConfig,
    ScheduleConfig,
    WarmupConfig,
)
from specflow.diagnostics.errors import ConfigError, SpecflowError
from specflow.runtime.plain_tree import settings

__all__ = ["Change", "changes", "is_free"]

_FREE_SECTIONS = (
    "output.",
    "mesh.",
    "loop.early_stopping",
    "spec.eval_metrics",
    "data.eval_sets",
    "spec.export_outputs",
)
_FREE_KEYS = frozenset(
    {
        "name",
        "data.refit",  # It says so itself.
        "loop.train_steps",
        "loop.epochs",
        "loop.eval_at_start",
        "loop.eval_every",
        "loop.eval_loss",
        "loop.eval_steps",
        "loop.eval_batch_size",
        "loop.log_every",
        "loop.iterations_per_loop",
        "loop.recover",
    }
)
_ENDS = ("loop.train_steps", "loop.epochs")
"""Keys of the end of training."""
_ABSENT = object()
_OPTIMIZERS: Kinds = get_args(OptimizerConfig)[1]


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One key whose value differs."""

    key: str
    """Dotted key."""
    old: str
    """Value of the existing run, as text."""
    new: str
    """Value of the new config, as text."""


def changes(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    folders: tuple[str, str] | None = None,
) -> list[Change]:
    """Finds every key whose value would change what is trained, in config order.

    Other keys may differ: output paths and intervals, the batches of an evaluation, the
    mesh. `loop.train_steps` and `loop.epochs` are among them unless a learning rate
    depends on them, such as a decay that ends with training.

    Args:
        old: config of the existing run.
        new: config that would resume it.
        folders: base folders of the relative paths in both; a path may be relative in
            one config and absolute in the other.

    >>> changes({"seed": 0, "loop": {"log_every": 1}},
    ...         {"seed": 1, "loop": {"log_every": 9}})
    [Change(key='seed', old='0', new='1')]

    A key that the older config lacks, as that of a run of an earlier version does, is
    no change where its value is the default. An empty mapping is no value of its own
    where the other config has keys in it:

    >>> changes({"data": {"columns": {}}}, {"data": {"columns": {"age": "number"}}})
    [Change(key='data.columns.age', old='absent', new='number')]
    """
    before, after = (
        {".".join(path): value for path, value in settings(config)}
        for config in (old, new)
    )
    written = before
    if after.keys() - before.keys():
        before = _with_defaults(old) | before
    depends_on_steps = any(
        _follows_train_steps(config.get("optimizer")) for config in (old, new)
    )
    return [
        Change(key, _text(written.get(key, _ABSENT)), _text(after.get(key, _ABSENT)))
        for key in written | after
        if before.get(key, _ABSENT) != after.get(key, _ABSENT)
        and (not is_free(key) or (depends_on_steps and key in _ENDS))
        and not _is_same_path(before.get(key), after.get(key), folders)
        and not _is_filled(key, before, after)
        and not _is_filled(key, after, before)
    ]


def _with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Key -> value of a config with defaults; empty where it is no valid one now."""
    try:
        filled = ExperimentConfig.model_validate(config)
    except (ValidationError, SpecflowError):
        return {}  # Of another version, or of a plugin that is not installed.
    plain = filled.model_dump(mode="json", by_alias=True)
    return {".".join(path): value for path, value in settings(plain)}


def is_free(key: str) -> bool:
    """Returns whether a key may differ when a run is resumed.

    >>> is_free("output.checkpoint.keep"), is_free("optimizer.lr")
    (True, False)
    """
    return key in _FREE_KEYS or key.startswith(_FREE_SECTIONS)


def _is_filled(key: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Returns whether a mapping is empty in one config, and has keys in the other."""
    return one.get(key) == {} and any(name.startswith(f"{key}.") for name in other)


def _is_same_path(old: Any, new: Any, folders: tuple[str, str] | None) -> bool:
    """Returns whether an absolute and a relative path are the same path."""
    if folders is None or not (isinstance(old, str) and isinstance(new, str)):
        return False
    if os.path.isabs(old) == os.path.isabs(new):
        return False
    before, after = (
        os.path.normpath(os.path.join(folder, path))
        for folder, path in zip(folders, (old, new), strict=True)
    )
    return before == after


def _follows_train_steps(optimizer: Any) -> bool:
    """Returns whether an optimizer, or a part of it, depends on `loop.train_steps`."""
    if not isinstance(optimizer, Mapping):
        return False
    kind = _OPTIMIZERS.members.get(str(optimizer.get("name")))
    if kind is not None and issubclass(kind, Component) and kind.takes("train_steps"):
        return True
    return any(
        _schedule_follows(value) if key == "schedule" else _follows_train_steps(value)
        for key, value in optimizer.items()
    )


def _schedule_follows(section: Any) -> bool:
    try:
        schedule = TypeAdapter(ScheduleConfig).validate_python(section)
    except (ValidationError, ConfigError):
        return True  # Of another version or a missing plugin: it may depend on it.
    if isinstance(schedule, Component):
        return schedule.takes("train_steps")
    # Arguments of a target are in the config: they would differ themselves.
    return isinstance(schedule, WarmupConfig) and schedule.follows_train_steps


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return "absent" if value is _ABSENT else str(value)
