"""Optimizers: optax transformations from the `optimizer` section of a config."""

from specflow.optimizer.build_optimizer import (
    build_eval_params_fn,
    build_learning_rate_schedule,
    build_optimizer,
    uses_ema_for_eval,
)
from specflow.optimizer.moving_average import AverageState, averaged, track_average
from specflow.optimizer.rates import with_learning_rate
from specflow.optimizer.schedule import build_schedule

__all__ = [
    "AverageState",
    "averaged",
    "build_eval_params_fn",
    "build_learning_rate_schedule",
    "build_optimizer",
    "build_schedule",
    "track_average",
    "uses_ema_for_eval",
    "with_learning_rate",
]
