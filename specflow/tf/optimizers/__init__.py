"""Optimizers and schedules of `tf.compat.v1.train` as optax transformations.

Updates equal those of TensorFlow 2.15 to float32 rounding. Configs name them with the
prefix `tf_` (`optimizer=tf_adam`), since optax has optimizers of the same names.
"""

from specflow.tf.optimizers.adadelta_optimizer import adadelta
from specflow.tf.optimizers.adagrad_optimizer import adagrad
from specflow.tf.optimizers.adam_optimizer import adam
from specflow.tf.optimizers.ftrl_optimizer import ftrl
from specflow.tf.optimizers.gradient_descent_optimizer import momentum, sgd
from specflow.tf.optimizers.piecewise_constant_schedule import piecewise_constant
from specflow.tf.optimizers.rmsprop_optimizer import rmsprop

__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "ftrl",
    "momentum",
    "piecewise_constant",
    "rmsprop",
    "sgd",
]
