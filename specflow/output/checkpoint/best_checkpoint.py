"""The best checkpoints by an evaluation metric."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from specflow.config.sections.output import BestConfig
from specflow.output.checkpoint.checkpoint_directory import CheckpointDirectory
from specflow.output.json_values import JsonObject, to_plain

__all__ = ["Best", "BestTracker", "best_step", "best_steps", "is_better"]


class Best(NamedTuple):
    """The best checkpoint and the value that ranks it."""

    step: int
    metric: str
    value: float


class BestTracker:
    """Ranks checkpoints by a metric; remembers the values it has seen.

    Args:
        directory: the checkpoints.
        order: metric, and whether the lowest or the highest value is best.
    """

    def __init__(self, directory: CheckpointDirectory, order: BestConfig):
        self.order = order
        self._directory = directory
        self._values: dict[int, object] = {}

    def record(self, step: int, metrics: JsonObject | None) -> None:
        """Remembers the metrics of a checkpoint, so that they need not be read."""
        self._values[step] = (metrics or {}).get(self.order.metric)

    def forget(self, step: int) -> None:
        """Drops the value of a checkpoint that was not written."""
        self._values.pop(step, None)

    def knows(self, steps: Iterable[int]) -> bool:
        """Returns whether the values of all these checkpoints are in memory."""
        return self._values.keys() >= set(steps)

    def best(self, steps: Sequence[int]) -> Best | None:
        """The best of these checkpoints; None if none has a finite or infinite value.

        Reads the checkpoints whose values are not in memory.
        """
        values = self._values_of(steps)
        step = best_step(values, self.order)
        if step is None:
            return None
        value = values[step]
        assert isinstance(value, int | float)
        return Best(step, self.order.metric, value)

    def kept(self, steps: Sequence[int]) -> list[int]:
        """The best `order.keep` of these checkpoints, the best first.

        Reads the checkpoints whose values are not in memory.
        """
        return best_steps(self._values_of(steps), self.order)

    def is_new_best(self, metrics: Mapping[str, object], steps: Sequence[int]) -> bool:
        """Returns whether metrics would be among the best `order.keep` of all.

        Reads the checkpoints whose values are not in memory.
        """
        value = to_plain(metrics).get(self.order.metric)
        saved = self._values_of(steps)
        kept = best_steps(saved, self.order)
        last = saved[kept[-1]] if len(kept) == self.order.keep else None
        return is_better(value, last, self.order)

    def _values_of(self, steps: Sequence[int]) -> dict[int, object]:
        for step in steps:
            if step not in self._values:
                self.record(step, self._directory.metrics(step))
        return {step: self._values[step] for step in steps}


def best_step(values: Mapping[int, object], order: BestConfig) -> int | None:
    """Step with the best value, the newest of equals; NaN and None are never best.

    >>> best_step({10: 0.5, 20: float("nan"), 30: 0.7}, BestConfig(metric="loss"))
    10
    """
    return next(iter(best_steps(values, order)), None)


def best_steps(values: Mapping[int, object], order: BestConfig) -> list[int]:
    """Steps with the best `order.keep` values, the best first; see `best_step`.

    >>> best_steps({10: 0.5, 20: 0.4, 30: 0.7, 40: 0.4}, BestConfig(keep=3))
    [40, 20, 10]
    """
    ranked = [
        (score, step)
        for step, value in values.items()
        if (score := _score(value, order)) is not None
    ]
    return [step for _, step in sorted(ranked, reverse=True)[: order.keep]]


def is_better(value: object, other: object, order: BestConfig) -> bool:
    """Compares two values; NaN and None are worse than any number, and never better.

    >>> is_better(0.4, 0.5, BestConfig(metric="loss"))
    True
    >>> is_better(0.4, None, BestConfig()), is_better(float("nan"), None, BestConfig())
    (True, False)
    """
    score, other_score = _score(value, order), _score(other, order)
    return score is not None and (other_score is None or score > other_score)


def _score(value: object, order: BestConfig) -> float | None:
    """The value so that higher is better; None if it is not a number."""
    if not isinstance(value, int | float) or math.isnan(value):
        return None
    return -value if order.order == "lowest" else value
