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
    """`FtrlOptimizer`: each variable is solved for anew, so that L1 makes exact zeros.

    A variable whose gradients were all zero becomes zero in the first step, whatever it
    was before: it is the minimum of what the rule has seen. A step whose rate is 0, as
    the first of a warmup, changes nothing; the reference refuses such a rate.

    Args:
        learning_rate: a number, or a function of the step.
        lr_power: power of the sum of squares by which the rate falls, at most 0
            (`learning_rate_power` in TensorFlow); 0 keeps the rate.
        initial_accumulator_value: where the sum of squared gradients begins.
        l1: weight of the absolute values (`l1_regularization_strength`).
        l2: weight of the squares, around zero (`l2_regularization_strength`).
        l2_shrinkage: weight of the squares in the gradient itself, which unlike `l2`
            pulls only while there are steps (`l2_shrinkage_regularization_strength`).
        beta: the paper's; added to the root of the sum of squares.

    Source: McMahan et al., Ad Click Prediction: a View from the Trenches, 2013,
    algorithm 1; TensorFlow 2.15, raw ops ApplyFtrl and ApplyFtrlV2.
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
