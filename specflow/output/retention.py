"""Which checkpoints stay."""

import math
from collections.abc import Mapping, Sequence

from specflow.config.output import BestConfig

__all__ = ["best_step", "kept_steps"]


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
    sign = -1.0 if order.order == "lowest" else 1.0
    ranked = [
        (sign * value, step)
        for step, value in values.items()
        if isinstance(value, int | float) and not math.isnan(value)
    ]
    return max(ranked)[1] if ranked else None
