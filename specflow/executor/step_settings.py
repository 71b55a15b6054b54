"""Settings of how a training step is computed."""

import dataclasses

from specflow.executor.optimizer_step import LossScale

__all__ = ["PLAIN", "StepSettings"]


@dataclasses.dataclass(frozen=True, slots=True)
class StepSettings:
    """Settings that change how a step is computed, but not its meaning.

    Args:
        micro_steps: micro-batches over which gradients are accumulated.
        loss_scale: factor of the loss during differentiation.
    """

    micro_steps: int = 1
    loss_scale: LossScale = None


PLAIN = StepSettings()
"""One micro-step, no loss scale."""
