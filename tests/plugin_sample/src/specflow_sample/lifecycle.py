"""When training ends, and what is exported."""

import dataclasses
import math

import specflow as sf


@dataclasses.dataclass(frozen=True)
class Diverged:
    """Ends training when a metric is no number any more."""

    metric: str = "loss"

    def reason(self, values):
        bad = [step for step, value in values.items() if math.isnan(value)]
        return f"{self.metric} is nan at step {bad[0]}" if bad else None


class Never(sf.Exporter):
    """Exports nothing, or says on which step it might have."""

    def __init__(self, name, *, loudly: bool = False):
        super().__init__(name)
        self._loudly = loudly

    def wants(self, directory, metrics, *, is_final):
        if self._loudly:
            print(f"nothing is exported at step {metrics['global_step']}")
        return False
