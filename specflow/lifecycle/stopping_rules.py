"""Early stopping rules: decide from the metrics of all evaluations so far."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias

__all__ = ["Better", "Crossed", "Stalled", "StoppingRule"]

Better: TypeAlias = Literal["lower", "higher"]
"""The direction in which a metric improves."""


class StoppingRule(Protocol):
    """Decides from one metric of the evaluations whether training ends."""

    @property
    def metric(self) -> str:
        """Name of the metric, as evaluate reports it."""
        ...

    def reason(self, values: Mapping[int, float]) -> str | None:
        """Returns the reason to end training; None to continue.

        Args:
            values: step -> value of every evaluation so far, in order.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Crossed:
    """Ends training once any evaluation is strictly beyond a threshold.

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
    """Ends training once the newest evaluation is too many steps past the best one.

    A stall that is over does not count, and NaN is never the best. (TensorFlow stopped
    at any past stall, and kept a first NaN as its best.)

    >>> rule = Stalled("loss", 20, "lower")
    >>> rule.reason({10: 0.5, 20: 0.6, 30: 0.55})
    'loss has not fallen for 20 steps, since 0.5 at step 10'
    >>> rule.reason({10: 0.5, 20: 0.6, 30: 0.45})
    """

    metric: str
    patience_steps: int
    """Steps from the best evaluation to the newest one at which training ends."""
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
