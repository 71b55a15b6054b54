"""Gradient descent, with and without momentum, as in `tf.compat.v1.train`."""

import jax
import optax

from specflow.optimizer.rates import Rate
from specflow.tf.optimizers.update_rule import per_variable

__all__ = ["momentum", "sgd"]


def sgd(learning_rate: Rate) -> optax.GradientTransformation:
    """Gradient descent as in `GradientDescentOptimizer`.

    Args:
        learning_rate: a number, or a schedule: step -> learning rate.

    Returns:
        The transformation: updates are `-learning_rate * gradient`.

    Source: TensorFlow 2.15, raw op ApplyGradientDescent.

    >>> optimizer, params = sgd(0.5), {"w": jax.numpy.ones(2)}
    >>> optimizer.update({"w": jax.numpy.ones(2)}, optimizer.init(params), params)[0]
    {'w': Array([-0.5, -0.5], dtype=float32)}
    """

    def step(gradient: jax.Array, _: jax.Array, *, rate: jax.Array) -> tuple[jax.Array]:
        return (-(rate * gradient),)

    return per_variable(learning_rate, step)


def momentum(
    learning_rate: Rate, momentum: float = 0.9, use_nesterov: bool = False
) -> optax.GradientTransformation:
    """Gradient descent with momentum as in `MomentumOptimizer`.

    In each step, `velocity = momentum * velocity + gradient`; the update is
    `-learning_rate * velocity`, or with Nesterov momentum
    `-learning_rate * (gradient + momentum * velocity)`.

    Args:
        learning_rate: a number, or a schedule: step -> learning rate.
        momentum: exponential decay rate of the velocity; TensorFlow has no default.
        use_nesterov: whether to use Nesterov momentum.

    Returns:
        The transformation.

    Source: TensorFlow 2.15, raw op ApplyMomentum; Sutskever et al., On the importance
    of initialization and momentum in deep learning, 2013, section 2.

    >>> optimizer, params = momentum(0.5, momentum=0.5), {"w": jax.numpy.zeros(())}
    >>> state, gradients = optimizer.init(params), {"w": jax.numpy.ones(())}
    >>> _, state = optimizer.update(gradients, state, params)
    >>> float(optimizer.update(gradients, state, params)[0]["w"])  # velocity 1.5
    -0.75
    """

    def step(
        gradient: jax.Array, _: jax.Array, velocity: jax.Array, *, rate: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        velocity = velocity * momentum + gradient
        if use_nesterov:
            return -(gradient * rate + velocity * momentum * rate), velocity
        return -(velocity * rate), velocity

    return per_variable(learning_rate, step, slots={"velocity": 0.0})
