"""Adagrad, as in `tf.compat.v1.train`."""

import jax
import jax.numpy as jnp
import optax

from specflow.optimizer.rates import Rate
from specflow.tf.optimizers.update_rule import per_variable

__all__ = ["adagrad"]


def adagrad(
    learning_rate: Rate, initial_accumulator_value: float = 0.1
) -> optax.GradientTransformation:
    """Adagrad as in `AdagradOptimizer`: no epsilon, but a positive initial accumulator.

    Args:
        learning_rate: a number, or a schedule: step -> learning rate.
        initial_accumulator_value: initial value of the sum of squared gradients; above
            0.

    Returns:
        The transformation.

    Source: Duchi, Hazan & Singer, Adaptive Subgradient Methods, 2011; TensorFlow 2.15,
    raw op ApplyAdagrad.

    >>> optimizer, params = adagrad(1.0, 3.0), {"w": jnp.zeros(())}
    >>> state = optimizer.init(params)
    >>> updates, state = optimizer.update({"w": jnp.ones(())}, state, params)
    >>> float(updates["w"])  # -1 / sqrt(3 + 1)
    -0.5
    """

    def step(
        gradient: jax.Array, _: jax.Array, accumulator: jax.Array, *, rate: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        accumulator = accumulator + gradient * gradient
        return -(rate * gradient / jnp.sqrt(accumulator)), accumulator

    return per_variable(
        learning_rate, step, slots={"accumulator": initial_accumulator_value}
    )
