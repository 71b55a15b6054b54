"""Adam, as in `tf.compat.v1.train`."""

import jax
import jax.numpy as jnp
import optax

from specflow.optimizer.rates import Rate
from specflow.tf.optimizers.update_rule import complement, per_variable

__all__ = ["adam"]


def adam(
    learning_rate: Rate,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> optax.GradientTransformation:
    """`AdamOptimizer`: the form of the paper in which epsilon is not corrected.

    Both corrections are in the rate, `rate * sqrt(1 - beta2**t) / (1 - beta1**t)`, so
    that `epsilon` weighs more in the first steps than it does in `optax.adam`.

    Args:
        learning_rate: a number, or a function of the step.
        beta1: share of the first moment that is kept.
        beta2: share of the second moment that is kept.
        epsilon: added to the root of the second moment; the paper's "epsilon hat".

    Source: Kingma & Ba, Adam, 2015, the note below algorithm 1; TensorFlow 2.15, raw op
    ApplyAdam.
    """

    def step(
        gradient: jax.Array,
        _: jax.Array,
        m: jax.Array,
        v: jax.Array,
        *,
        rate: jax.Array,
        beta1_power: jax.Array,
        beta2_power: jax.Array,
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        corrected = rate * jnp.sqrt(1 - beta2_power) / (1 - beta1_power)
        m = m + (gradient - m) * complement(beta1, m)
        v = v + (gradient * gradient - v) * complement(beta2, v)
        return -(m * corrected / (jnp.sqrt(v) + epsilon)), m, v

    return per_variable(
        learning_rate,
        step,
        slots={"m": 0.0, "v": 0.0},
        powers={"beta1_power": beta1, "beta2_power": beta2},
    )
