"""RMSProp, as in `tf.compat.v1.train`."""

import jax
import jax.numpy as jnp
import optax

from specflow.optimizer.rates import Rate
from specflow.tf.optimizers.update_rule import complement, per_variable

__all__ = ["rmsprop"]


def rmsprop(
    learning_rate: Rate,
    decay: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-10,
    centered: bool = False,
) -> optax.GradientTransformation:
    """RMSProp as in `RMSPropOptimizer`: initial mean square 1, epsilon inside the root.

    The velocity contains the learning rate: a schedule that lowers it does not change
    the velocity of earlier steps.

    Args:
        learning_rate: a number, or a schedule: step -> learning rate.
        decay: exponential decay rate of the mean of squared gradients (and of the mean
            gradient, if centered).
        momentum: exponential decay rate of the velocity.
        epsilon: numerical stability term, added to the mean square inside the root.
        centered: whether to divide by the root of the variance of the gradient, in
            place of its mean square.

    Returns:
        The transformation.

    Source: Hinton, Neural Networks for Machine Learning, lecture 6, 2012; Graves,
    Generating Sequences With Recurrent Neural Networks, 2013, equations 38 to 41 (the
    centered form); TensorFlow 2.15, raw ops ApplyRMSProp and ApplyCenteredRMSProp.

    >>> optimizer, params = rmsprop(0.5), {"w": jnp.zeros(())}
    >>> state = optimizer.init(params)
    >>> updates, state = optimizer.update({"w": jnp.ones(())}, state, params)
    >>> float(updates["w"])  # -0.5 / sqrt(0.9 * 1 + 0.1 * 1**2)
    -0.5
    """

    def velocity_after(
        velocity: jax.Array, gradient: jax.Array, spread: jax.Array, rate: jax.Array
    ) -> jax.Array:
        return velocity * momentum + rate * gradient / jnp.sqrt(spread + epsilon)

    def step(
        gradient: jax.Array,
        _: jax.Array,
        squares: jax.Array,
        velocity: jax.Array,
        *,
        rate: jax.Array,
    ) -> tuple[jax.Array, ...]:
        squares = squares + (gradient * gradient - squares) * complement(decay, squares)
        velocity = velocity_after(velocity, gradient, squares, rate)
        return -velocity, squares, velocity

    def centered_step(
        gradient: jax.Array,
        _: jax.Array,
        squares: jax.Array,
        velocity: jax.Array,
        mean: jax.Array,
        *,
        rate: jax.Array,
    ) -> tuple[jax.Array, ...]:
        rest = complement(decay, squares)
        squares = squares + (gradient * gradient - squares) * rest
        mean = mean + (gradient - mean) * rest
        velocity = velocity_after(velocity, gradient, squares - mean * mean, rate)
        return -velocity, squares, velocity, mean

    slots = {"squares": 1.0, "velocity": 0.0}
    if centered:
        return per_variable(learning_rate, centered_step, slots={**slots, "mean": 0.0})
    return per_variable(learning_rate, step, slots=slots)
