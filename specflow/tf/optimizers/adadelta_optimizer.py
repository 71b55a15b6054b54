"""Adadelta, as in `tf.compat.v1.train`."""

import jax
import jax.numpy as jnp
import optax

from specflow.optimizer.rates import Rate
from specflow.tf.optimizers.update_rule import complement, per_variable

__all__ = ["adadelta"]


def adadelta(
    learning_rate: Rate, rho: float = 0.95, epsilon: float = 1e-8
) -> optax.GradientTransformation:
    """`AdadeltaOptimizer`: a step is as large as recent steps for the gradient's size.

    Args:
        learning_rate: a number, or a function of the step; the paper knows none, which
            is 1.
        rho: share of the averages that is kept.
        epsilon: added to both averages, inside the roots.

    Source: Zeiler, ADADELTA, 2012, algorithm 1; TensorFlow 2.15, raw op ApplyAdadelta.
    """

    def step(
        gradient: jax.Array,
        _: jax.Array,
        squares: jax.Array,
        moves: jax.Array,
        *,
        rate: jax.Array,
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        rest = complement(rho, squares)
        squares = squares * rho + gradient * gradient * rest
        move = jnp.sqrt(moves + epsilon) / jnp.sqrt(squares + epsilon) * gradient
        return -(move * rate), squares, moves * rho + move * move * rest

    return per_variable(learning_rate, step, slots={"squares": 0.0, "moves": 0.0})
