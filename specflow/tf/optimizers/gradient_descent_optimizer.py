"""Gradient descent, with and without momentum, as in `tf.compat.v1.train`."""

import jax
import optax

from specflow.optimizer.rates import Rate
from specflow.tf.optimizers.update_rule import per_variable

__all__ = ["momentum", "sgd"]


def sgd(learning_rate: Rate) -> optax.GradientTransformation:
    """`GradientDescentOptimizer`: variable -= rate * gradient.

    Args:
        learning_rate: a number, or a function of the step.

    Source: TensorFlow 2.15, raw op ApplyGradientDescent.

    >>> rule, params = sgd(0.5), {"w": jax.numpy.ones(2)}
    >>> rule.update({"w": jax.numpy.ones(2)}, rule.init(params), params)[0]
    {'w': Array([-0.5, -0.5], dtype=float32)}
    """

    def step(gradient: jax.Array, _: jax.Array, *, rate: jax.Array) -> tuple[jax.Array]:
        return (-(rate * gradient),)

    return per_variable(learning_rate, step)


def momentum(
    learning_rate: Rate, momentum: float = 0.9, use_nesterov: bool = False
) -> optax.GradientTransformation:
    """`MomentumOptimizer`: the rate is outside the velocity.

    Each step, `velocity = momentum * velocity + gradient`, and the variable moves by
    `-rate * velocity`, or with Nesterov's look ahead by
    `-(rate * gradient + rate * momentum * velocity)`.

    Args:
        learning_rate: a number, or a function of the step.
        momentum: share of the velocity that is kept; TensorFlow has no default for it.
        use_nesterov: whether the variables are the looked-ahead ones.

    Source: TensorFlow 2.15, raw op ApplyMomentum; Sutskever et al., On the importance
    of initialization and momentum in deep learning, 2013, section 2.
    """

    def step(
        gradient: jax.Array, _: jax.Array, velocity: jax.Array, *, rate: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        velocity = velocity * momentum + gradient
        if use_nesterov:
            return -(gradient * rate + velocity * momentum * rate), velocity
        return -(velocity * rate), velocity

    return per_variable(learning_rate, step, slots={"velocity": 0.0})
