"""The optimizer: from the configuration to an optax transformation."""

from specflow.optimizer.build import build_optimizer, learning_rate
from specflow.optimizer.schedule import build_schedule

__all__ = ["build_optimizer", "build_schedule", "learning_rate"]
