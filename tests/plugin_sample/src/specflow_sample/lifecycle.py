"""An early-stopping rule and an exporter."""

import dataclasses
import math

import specflow as sf


@dataclasses.dataclass(frozen=True)
class Diverged:
    """Early stopping when a metric becomes NaN."""

    metric: str = "loss"

    def reason(self, values):
        nan_steps = [step for step, value in values.items() if math.isnan(value)]
        return f"{self.metric} is nan at step {nan_steps[0]}" if nan_steps else None


class Never(sf.Exporter):
    """Exporter that never exports; optionally prints the steps it skips."""

    def __init__(self, name, *, loudly: bool = False):
        super().__init__(name)
        self._loudly = loudly

    def wants(self, directory, metrics, *, is_final):
        if self._loudly:
            print(f"nothing is exported at step {metrics['global_step']}")
        return False
