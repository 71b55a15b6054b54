"""Which checkpoints stay."""

import math
from collections.abc import Mapping, Sequence

from specflow.config.sections.output import BestConfig

__all__ = ["best_step", "is_better", "kept_steps"]


def kept_steps(
    steps: Sequence[int], *, keep: int, best: int | None = None
) -> frozenset[int]:
    """The newest `keep` steps (0: all of them), and the best one whatever its age.

    >>> sorted(kept_steps([10, 20, 30, 40], keep=2, best=10))
    [10, 30, 40]
    """
    newest = sorted(steps)[-keep:] if keep else steps
    return frozenset(newest) | {step for step in steps if step == best}


def best_step(values: Mapping[int, object], order: BestConfig) -> int | None:
    """The step with the best value, the newest of equals; NaN and None are never best.

    >>> best_step({10: 0.5, 20: float("nan"), 30: 0.7}, BestConfig(metric="loss"))
    10
    """
    ranked = [
        (score, step)
        for step, value in values.items()
        if (score := _score(value, order)) is not None
    ]
    return max(ranked)[1] if ranked else None


def is_better(value: object, other: object, order: BestConfig) -> bool:
    """Whether a value is strictly better; NaN and None are worse than any number.

    >>> is_better(0.4, 0.5, BestConfig(metric="loss"))
    True
    >>> is_better(0.4, None, BestConfig()), is_better(float("nan"), None, BestConfig())
    (True, False)
    """
    score, former = _score(value, order), _score(other, order)
    return score is not None and (former is None or score > former)


def _score(value: object, order: BestConfig) -> float | None:
    if not isinstance(value, int | float) or math.isnan(value):
        return None
    return -value if order.order == "lowest" else value
