"""How a training step is computed, whatever it computes."""

import dataclasses

from specflow.executor.optimizer_step import LossScale

__all__ = ["PLAIN", "StepSettings"]


@dataclasses.dataclass(frozen=True, slots=True)
class StepSettings:
    """What does not change the meaning of a step, only the way to it.

    Args:
        micro_steps: parts in which a batch is computed, one after the other.
        loss_scale: factor of the loss while it is differentiated.
    """

    micro_steps: int = 1
    loss_scale: LossScale = None


PLAIN = StepSettings()
"""Whole batches, at the scale that they have."""
