"""The optimizer: from the configuration to an optax transformation."""

from specflow.optimizer.build_optimizer import (
    build_optimizer,
    evaluated_average,
    evaluates_average,
    learning_rate,
)
from specflow.optimizer.moving_average import AverageState, averaged, track_average
from specflow.optimizer.piecewise import tf_piecewise_constant
from specflow.optimizer.rates import with_learning_rate
from specflow.optimizer.reference import (
    tf_adadelta,
    tf_adagrad,
    tf_adam,
    tf_ftrl,
    tf_momentum,
    tf_rmsprop,
    tf_sgd,
)
from specflow.optimizer.schedule import build_schedule

__all__ = [
    "AverageState",
    "averaged",
    "build_optimizer",
    "build_schedule",
    "evaluated_average",
    "evaluates_average",
    "learning_rate",
    "tf_adadelta",
    "tf_adagrad",
    "tf_adam",
    "tf_ftrl",
    "tf_momentum",
    "tf_piecewise_constant",
    "tf_rmsprop",
    "tf_sgd",
    "track_average",
    "with_learning_rate",
]
