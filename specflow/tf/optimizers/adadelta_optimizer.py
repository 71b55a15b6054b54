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
    """Adadelta as in `AdadeltaOptimizer`: scales by the ratio of two running averages.

    Args:
        learning_rate: a number, or a schedule: step -> learning rate. The paper has
            none, which equals 1.
        rho: exponential decay rate of the averages of squared gradients and updates.
        epsilon: numerical stability term, added to both averages inside the roots.

    Returns:
        The transformation.

    Source: Zeiler, ADADELTA, 2012, algorithm 1; TensorFlow 2.15, raw op ApplyAdadelta.

    >>> optimizer = adadelta(1.0, rho=0.5, epsilon=1.5)
    >>> params = {"w": jnp.zeros(())}
    >>> state = optimizer.init(params)
    >>> updates, state = optimizer.update({"w": jnp.ones(())}, state, params)
    >>> round(float(updates["w"]), 4)  # -sqrt(1.5) / sqrt(0.5 + 1.5)
    -0.866
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
