"""Optimizers: optax transformations from the `optimizer` section of a config."""

from specflow.optimizer.build_optimizer import (
    build_optimizer,
    evaluated_average,
    evaluates_average,
    learning_rate,
)
from specflow.optimizer.moving_average import AverageState, averaged, track_average
from specflow.optimizer.rates import with_learning_rate
from specflow.optimizer.schedule import build_schedule

__all__ = [
    "AverageState",
    "averaged",
    "build_optimizer",
    "build_schedule",
    "evaluated_average",
    "evaluates_average",
    "learning_rate",
    "track_average",
    "with_learning_rate",
]
