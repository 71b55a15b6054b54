"""FTRL-Proximal, as in `tf.compat.v1.train`."""

import jax
import jax.numpy as jnp
import optax

from specflow.optimizer.rates import Rate
from specflow.tf.optimizers.update_rule import per_variable

__all__ = ["ftrl"]


def ftrl(
    learning_rate: Rate,
    lr_power: float = -0.5,
    initial_accumulator_value: float = 0.1,
    l1: float = 0.0,
    l2: float = 0.0,
    l2_shrinkage: float = 0.0,
    beta: float = 0.0,
) -> optax.GradientTransformation:
    """FTRL-Proximal as in `FtrlOptimizer`: L1 regularization gives exact zeros.

    Each step solves for the variable in closed form. A variable whose gradients were
    all zero becomes zero in the first step, whatever its initial value: zero minimizes
    the regularized sum. A step with learning rate 0, as the first of a warmup, changes
    nothing; TensorFlow rejects such a rate.

    Args:
        learning_rate: a number, or a schedule: step -> learning rate.
        lr_power: exponent of the sum of squares by which the learning rate decays, at
            most 0 (`learning_rate_power` in TensorFlow); 0 keeps it constant.
        initial_accumulator_value: initial value of the sum of squared gradients.
        l1: L1 regularization strength (`l1_regularization_strength`).
        l2: L2 regularization strength, a stabilization penalty
            (`l2_regularization_strength`).
        l2_shrinkage: L2 penalty added to the gradient, a magnitude penalty that unlike
            `l2` acts only in steps (`l2_shrinkage_regularization_strength`).
        beta: the paper's beta, added to the root of the sum of squares.

    Returns:
        The transformation.

    Source: McMahan et al., Ad Click Prediction: a View from the Trenches, 2013,
    algorithm 1; TensorFlow 2.15, raw ops ApplyFtrl and ApplyFtrlV2.

    >>> optimizer, params = ftrl(0.1, l1=0.5), {"w": jnp.array([0.3, -0.2])}
    >>> state = optimizer.init(params)
    >>> gradients = {"w": jnp.array([0.1, 2.0])}
    >>> updates, state = optimizer.update(gradients, state, params)
    >>> (optax.apply_updates(params, updates)["w"] == 0).tolist()
    [True, False]
    """

    def step(
        gradient: jax.Array,
        variable: jax.Array,
        squares: jax.Array,
        linear: jax.Array,
        *,
        rate: jax.Array,
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        adjusted = l2 + beta / (2 * jnp.maximum(rate, 1e-36))
        shrunk = gradient + 2 * l2_shrinkage * variable
        summed = squares + gradient * gradient
        strength, before = _power(summed, -lr_power), _power(squares, -lr_power)
        pull = linear + shrunk - (strength - before) / rate * variable
        solved = (l1 * jnp.sign(pull) - pull) / (strength / rate + 2 * adjusted)
        update = jnp.where(jnp.abs(pull) > l1, solved, 0) - variable
        moves = rate > 0
        return (
            jnp.where(moves, update, 0),
            jnp.where(moves, summed, squares),
            jnp.where(moves, pull, linear),
        )

    slots = {"squares": initial_accumulator_value, "linear": 0.0}
    return per_variable(learning_rate, step, slots=slots)


def _power(base: jax.Array, exponent: float) -> jax.Array:
    return jnp.sqrt(base) if exponent == 0.5 else base**exponent
