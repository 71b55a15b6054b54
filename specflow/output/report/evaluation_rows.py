"""Rows of `metrics.jsonl`: their keys, and evaluations of several sets."""

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["ROW_PLACE", "evaluation_rows"]

ROW_PLACE = ("step", "split", "epoch")
"""Keys of a row that say where it was measured; all others are metrics."""
_SET = "eval_"
"""Beginning of the split of a set, before its name."""


def evaluation_rows(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the rows of evaluations, each with the metrics of the sets of its step.

    Args:
        rows: of any split, in the order of `metrics.jsonl`.

    >>> evaluation_rows([
    ...     {"step": 9, "split": "eval_night", "loss": 0.7},
    ...     {"step": 9, "split": "eval", "loss": 0.5},
    ... ])
    [{'step': 9, 'split': 'eval', 'loss': 0.5, 'night/loss': 0.7}]
    """
    sets: dict[Any, dict[str, Any]] = {}
    own: list[Mapping[str, Any]] = []
    for row in rows:
        split = str(row.get("split"))
        if split == "eval":
            own.append(row)
        elif split.startswith(_SET):
            name = split.removeprefix(_SET)
            sets.setdefault(row.get("step"), {}).update(
                {f"{name}/{k}": v for k, v in row.items() if k not in ROW_PLACE}
            )
    return [{**row, **sets.get(row.get("step"), {})} for row in own]
