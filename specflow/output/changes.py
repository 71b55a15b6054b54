"""What differs between the config of a run and the config that would go on with it."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["Change", "changes", "is_free"]

_FREE_SECTIONS = (
    "output.",
    "mesh.",
    "loop.early_stopping",
    "spec.eval_metrics",
    "spec.export_outputs",
)
_FREE_KEYS = frozenset(
    {
        "name",
        "loop.train_steps",
        "loop.eval_every",
        "loop.eval_loss",
        "loop.eval_steps",
        "loop.eval_batch_size",
        "loop.log_every",
        "loop.iterations_per_loop",
    }
)
_ABSENT = object()


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One key whose value differs."""

    key: str
    """Dotted key."""
    old: str
    """Value of the run that is there, as text."""
    new: str
    """Value now, as text."""


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Every key whose value would change what is trained, in the order of the configs.

    Keys that do not change it (where and how often is written, how evaluation is cut
    up, on which mesh the program runs) may differ. `loop.train_steps` is one of them
    unless the learning rate's schedule ends there.

    >>> changes({"seed": 0, "loop": {"log_every": 1}},
    ...         {"seed": 1, "loop": {"log_every": 9}})
    [Change(key='seed', old='0', new='1')]
    """
    before, after = dict(_leaves(old)), dict(_leaves(new))
    bound = _ends_with_training(old) or _ends_with_training(new)
    return [
        Change(key, _text(before.get(key, _ABSENT)), _text(after.get(key, _ABSENT)))
        for key in before | after
        if before.get(key, _ABSENT) != after.get(key, _ABSENT)
        and (not is_free(key) or (bound and key == "loop.train_steps"))
    ]


def is_free(key: str) -> bool:
    """Whether a key may differ when a run is taken up again.

    >>> is_free("output.checkpoint.keep"), is_free("optimizer.lr")
    (True, False)
    """
    return key in _FREE_KEYS or key.startswith(_FREE_SECTIONS)


def _ends_with_training(config: Mapping[str, Any]) -> bool:
    optimizer = config.get("optimizer")
    schedule = optimizer.get("schedule") if isinstance(optimizer, Mapping) else None
    return (
        isinstance(schedule, Mapping)
        and schedule.get("name") in ("cosine", "linear")
        and schedule.get("decay_steps") is None
    )


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key -> value; lists are values, so that they are shown whole."""
    if not isinstance(tree, Mapping) or (path and not tree):
        yield path, tree
        return
    for key, value in tree.items():
        yield from _leaves(value, f"{path}.{key}" if path else str(key))


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return "absent" if value is _ABSENT else str(value)
