"""The update rules of TensorFlow 2.15's `tf.compat.v1.train`, to float32 rounding."""

from specflow.optimizer.reference.adadelta import tf_adadelta
from specflow.optimizer.reference.adagrad import tf_adagrad
from specflow.optimizer.reference.adam import tf_adam
from specflow.optimizer.reference.ftrl import tf_ftrl
from specflow.optimizer.reference.rmsprop import tf_rmsprop
from specflow.optimizer.reference.sgd import tf_momentum, tf_sgd

__all__ = [
    "tf_adadelta",
    "tf_adagrad",
    "tf_adam",
    "tf_ftrl",
    "tf_momentum",
    "tf_rmsprop",
    "tf_sgd",
]
