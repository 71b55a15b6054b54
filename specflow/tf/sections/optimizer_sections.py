"""Sections of the optimizers of `tf.compat.v1.train`: `optimizer: {name: tf_adam}`.

Fields and defaults are the arguments of `specflow.tf.optimizers`; where TensorFlow has
no default, it is the one of its Keras optimizer. JAX is imported when one is built.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from specflow.config.base import Component
from specflow.config.common.optimizer_fields import DecayRate, ScheduledConfig

if TYPE_CHECKING:
    import optax

__all__ = [
    "TfAdadeltaConfig",
    "TfAdagradConfig",
    "TfAdamConfig",
    "TfFtrlConfig",
    "TfMomentumConfig",
    "TfOptimizerConfig",
    "TfRmspropConfig",
    "TfSgdConfig",
]


class TfOptimizerConfig(Component, ScheduledConfig):
    """Base of the sections: builds the function of `specflow.tf.optimizers`."""

    def build(self, *, learning_rate: Any) -> "optax.GradientTransformation":
        """Builds the optimizer.

        Args:
            learning_rate: a number, or a function of the step.
        """
        from specflow.tf import optimizers  # Imports JAX.

        function = getattr(optimizers, str(self.path).rpartition(".")[2])
        shared = {"name", *ScheduledConfig.model_fields}
        arguments = {name: value for name, value in self if name not in shared}
        return function(learning_rate, **arguments)

    @property
    def path(self) -> str:
        """The dotted path of the function."""
        name = type(self).model_fields["name"].default.removeprefix("tf_")
        return f"specflow.tf.optimizers.{name}"


class TfAdadeltaConfig(TfOptimizerConfig):
    """Adadelta, as `AdadeltaOptimizer`; the paper's learning rate is 1."""

    name: Literal["tf_adadelta"] = "tf_adadelta"
    rho: DecayRate = 0.95
    """Exponential decay rate of the averages of squared gradients and updates."""
    epsilon: NonNegativeFloat = 1e-8
    """Numerical stability term, added to both averages inside the roots."""


class TfAdagradConfig(TfOptimizerConfig):
    """Adagrad, as `AdagradOptimizer`; it has no numerical stability term."""

    name: Literal["tf_adagrad"] = "tf_adagrad"
    initial_accumulator_value: PositiveFloat = 0.1
    """Initial value of the sum of squared gradients."""


class TfAdamConfig(TfOptimizerConfig):
    """Adam, as `AdamOptimizer`; `epsilon` is the paper's "epsilon hat"."""

    name: Literal["tf_adam"] = "tf_adam"
    beta1: DecayRate = 0.9
    """Exponential decay rate of the first moment."""
    beta2: DecayRate = 0.999
    """Exponential decay rate of the second moment."""
    epsilon: NonNegativeFloat = 1e-8
    """Numerical stability term, added to the root of the uncorrected second moment."""


class TfFtrlConfig(TfOptimizerConfig):
    """FTRL-Proximal, as `FtrlOptimizer`: L1 regularization makes exact zeros."""

    name: Literal["tf_ftrl"] = "tf_ftrl"
    lr_power: Annotated[float, Field(le=0.0)] = -0.5
    """Exponent of the sum of squares by which the learning rate decays, at most 0
    (`learning_rate_power`); 0 keeps it constant."""
    initial_accumulator_value: NonNegativeFloat = 0.1
    """Initial value of the sum of squared gradients."""
    l1: NonNegativeFloat = 0.0
    """L1 regularization strength (`l1_regularization_strength`)."""
    l2: NonNegativeFloat = 0.0
    """L2 regularization strength (`l2_regularization_strength`)."""
    l2_shrinkage: NonNegativeFloat = 0.0
    """L2 penalty added to the gradient (`l2_shrinkage_regularization_strength`)."""
    beta: NonNegativeFloat = 0.0
    """The paper's beta, added to the root of the sum of squares."""


class TfMomentumConfig(TfOptimizerConfig):
    """Gradient descent with momentum, as `MomentumOptimizer`."""

    name: Literal["tf_momentum"] = "tf_momentum"
    lr: PositiveFloat = 1e-2
    momentum: DecayRate = 0.9
    """Exponential decay rate of the velocity."""
    use_nesterov: bool = False
    """Use Nesterov momentum."""


class TfRmspropConfig(TfOptimizerConfig):
    """RMSProp, as `RMSPropOptimizer`; the mean square begins at 1."""

    name: Literal["tf_rmsprop"] = "tf_rmsprop"
    decay: DecayRate = 0.9
    """Exponential decay rate of the mean of squared gradients."""
    momentum: DecayRate = 0.0
    """Exponential decay rate of the velocity."""
    epsilon: NonNegativeFloat = 1e-10
    """Numerical stability term, added to the mean square inside the root."""
    centered: bool = False
    """Divide by the root of the variance, in place of the mean square."""


class TfSgdConfig(TfOptimizerConfig):
    """Gradient descent, as `GradientDescentOptimizer`."""

    name: Literal["tf_sgd"] = "tf_sgd"
    lr: PositiveFloat = 1e-2
