"""Optimizers that repeat TensorFlow 2.15's `tf.compat.v1.train`, for old results.

Fields and defaults are the reference's, under the names of its optimizers; where its
argument has no default, ours is that of its Keras twin.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from specflow.config.common.optimizer_fields import DecayRate, ScheduledConfig
from specflow.config.kinds import named

__all__ = ["MEMBERS"]


class TfAdadeltaConfig(ScheduledConfig):
    """`AdadeltaOptimizer`; the paper's rate is 1."""

    name: Literal["tf_adadelta"] = "tf_adadelta"
    rho: DecayRate = 0.95
    """Share of the means of squares that is kept at each step."""
    epsilon: NonNegativeFloat = 1e-8
    """A small number against division by zero."""


class TfAdagradConfig(ScheduledConfig):
    """`AdagradOptimizer`."""

    name: Literal["tf_adagrad"] = "tf_adagrad"
    initial_accumulator_value: PositiveFloat = 0.1
    """Where the sum of squared gradients begins; there is no epsilon."""


class TfAdamConfig(ScheduledConfig):
    """`AdamOptimizer`."""

    name: Literal["tf_adam"] = "tf_adam"
    beta1: DecayRate = 0.9
    """Share of the mean of gradients that is kept at each step."""
    beta2: DecayRate = 0.999
    """Share of the mean of squared gradients that is kept at each step."""
    epsilon: NonNegativeFloat = 1e-8
    """Added to the root of the uncorrected second moment."""


class TfFtrlConfig(ScheduledConfig):
    """`FtrlOptimizer`."""

    name: Literal["tf_ftrl"] = "tf_ftrl"
    lr_power: Annotated[float, Field(le=0.0)] = -0.5
    """`learning_rate_power`: power of the sum of squares; 0 keeps the rate."""
    initial_accumulator_value: NonNegativeFloat = 0.1
    """Where the sum of squared gradients begins."""
    l1: NonNegativeFloat = 0.0
    """`l1_regularization_strength`."""
    l2: NonNegativeFloat = 0.0
    """`l2_regularization_strength`."""
    l2_shrinkage: NonNegativeFloat = 0.0
    """`l2_shrinkage_regularization_strength`."""
    beta: NonNegativeFloat = 0.0
    """`beta`: added to the root of the sum of squares."""


class TfMomentumConfig(ScheduledConfig):
    """`MomentumOptimizer`."""

    name: Literal["tf_momentum"] = "tf_momentum"
    lr: PositiveFloat = 1e-2
    momentum: DecayRate = 0.9
    """Share of the velocity that is kept at each step."""
    use_nesterov: bool = False
    """Whether momentum looks ahead, as Nesterov's does."""


class TfRmspropConfig(ScheduledConfig):
    """`RMSPropOptimizer`."""

    name: Literal["tf_rmsprop"] = "tf_rmsprop"
    decay: DecayRate = 0.9
    """Share of the mean of squared gradients that is kept at each step."""
    momentum: DecayRate = 0.0
    """Share of the velocity that is kept at each step."""
    epsilon: NonNegativeFloat = 1e-10
    """Added to the mean square, inside the root."""
    centered: bool = False
    """Whether the mean is taken off, so that the variance divides."""


class TfSgdConfig(ScheduledConfig):
    """`GradientDescentOptimizer`."""

    name: Literal["tf_sgd"] = "tf_sgd"
    lr: PositiveFloat = 1e-2


MEMBERS = named(
    TfAdadeltaConfig,
    TfAdagradConfig,
    TfAdamConfig,
    TfFtrlConfig,
    TfMomentumConfig,
    TfRmspropConfig,
    TfSgdConfig,
)
"""Name -> class; `optimizer.py` lists the names."""
