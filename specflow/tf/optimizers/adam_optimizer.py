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
    """Adam as in `AdamOptimizer`: bias correction does not apply to epsilon.

    Both bias corrections scale the learning rate, `learning_rate * sqrt(1 - beta2**t) /
    (1 - beta1**t)`, so `epsilon` has more effect in the first steps than in
    `optax.adam`.

    Args:
        learning_rate: a number, or a schedule: step -> learning rate.
        beta1: exponential decay rate of the first moment.
        beta2: exponential decay rate of the second moment.
        epsilon: numerical stability term, added to the root of the uncorrected second
            moment; the paper's "epsilon hat".

    Returns:
        The transformation.

    Source: Kingma & Ba, Adam, 2015, the note below algorithm 1; TensorFlow 2.15, raw op
    ApplyAdam.

    >>> optimizer, params = adam(0.1), {"w": jnp.ones(2)}
    >>> state = optimizer.init(params)
    >>> updates, state = optimizer.update({"w": jnp.ones(2)}, state, params)
    >>> optax.apply_updates(params, updates)["w"].round(4)
    Array([0.9, 0.9], dtype=float32)
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
