"""Rules that say why training should end, by what evaluations have found so far."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias

__all__ = ["Better", "Crossed", "Stalled", "StoppingRule"]

Better: TypeAlias = Literal["lower", "higher"]
"""Which values of a metric a rule looks for."""


class StoppingRule(Protocol):
    """Looks at one metric of the evaluations."""

    @property
    def metric(self) -> str:
        """Its name, as evaluate reports it."""
        ...

    def reason(self, values: Mapping[int, float]) -> str | None:
        """Why training should end; None if it should not.

        Args:
            values: step -> value of every evaluation so far, in order.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Crossed:
    """Once any evaluation is strictly beyond a threshold.

    >>> Crossed("accuracy", 0.9, "higher").reason({10: 0.9, 20: 0.95, 30: 0.8})
    'accuracy is 0.95 at step 20, higher than 0.9'
    """

    metric: str
    threshold: float
    better: Better
    min_steps: int = 0
    """Evaluations before this step do not count."""

    def reason(self, values: Mapping[int, float]) -> str | None:
        for step, value in values.items():
            if step >= self.min_steps and _beats(value, self.threshold, self.better):
                where = f"{self.metric} is {value:.4g} at step {step}"
                return f"{where}, {self.better} than {self.threshold:g}"
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Stalled:
    """Once the newest evaluation is too many steps past the best one.

    A stall that is over does not count, and NaN is never best. (The reference stopped
    at any stall of the past, and a first NaN stayed its best.)

    >>> rule = Stalled("loss", 20, "lower")
    >>> rule.reason({10: 0.5, 20: 0.6, 30: 0.55})
    'loss has not fallen for 20 steps, since 0.5 at step 10'
    >>> rule.reason({10: 0.5, 20: 0.6, 30: 0.45})
    """

    metric: str
    patience_steps: int
    """Steps without improvement that are too many."""
    better: Better
    min_steps: int = 0
    """Evaluations before this step do not count."""

    def reason(self, values: Mapping[int, float]) -> str | None:
        values = {step: v for step, v in values.items() if step >= self.min_steps}
        if not values:
            return None
        best_step, best = next(iter(values.items()))
        for step, value in values.items():
            first_number = math.isnan(best) and not math.isnan(value)
            if first_number or _beats(value, best, self.better):
                best_step, best = step, value
        newest = max(values)
        if newest - best_step < self.patience_steps:
            return None
        moved = "fallen" if self.better == "lower" else "risen"
        stall = f"{self.metric} has not {moved} for {newest - best_step} steps"
        value = "undefined" if math.isnan(best) else f"{best:.4g}"
        return f"{stall}, since {value} at step {best_step}"


def _beats(value: float, other: float, better: Better) -> bool:
    return value < other if better == "lower" else value > other
