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
    """`AdagradOptimizer`: no epsilon; the sum of squares begins above zero instead.

    Args:
        learning_rate: a number, or a function of the step.
        initial_accumulator_value: where the sum of squared gradients begins; above 0.

    Source: Duchi, Hazan & Singer, Adaptive Subgradient Methods, 2011; TensorFlow 2.15,
    raw op ApplyAdagrad.
    """

    def step(
        gradient: jax.Array, _: jax.Array, accumulator: jax.Array, *, rate: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        accumulator = accumulator + gradient * gradient
        return -(rate * gradient / jnp.sqrt(accumulator)), accumulator

    return per_variable(
        learning_rate, step, slots={"accumulator": initial_accumulator_value}
    )
