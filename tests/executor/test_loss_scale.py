"""The scale of a loss: gradients of 16 bits stay above zero; the update is the same."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from specflow.executor.optimizer import Optimizer

PARAMS = {"w": jnp.array([1.0, -2.0]), "b": jnp.array([0.5])}


def half_gradients(optimizer, state, params):
    """Of 1e-8 x sum w, through float16: its smallest number is 6e-8."""
    scale = optimizer.scale(state)

    def loss(params):
        half = jax.tree.map(lambda p: p.astype(jnp.float16), params)
        value = half["w"].sum() + half["b"].sum()
        factor = jnp.float32(1e-8) * (1.0 if scale is None else scale)
        return (value * factor.astype(jnp.float16)).astype(jnp.float32)

    return jax.grad(loss)(params)


@pytest.mark.parametrize(
    ("loss_scale", "expected"), [(None, 0.0), (2.0**15, 1e-8), ("dynamic", 1e-8)]
)
def test_what_float16_cannot_hold_is_kept_by_a_scale(loss_scale, expected):
    optimizer = Optimizer(optax.sgd(1e8), PARAMS, loss_scale=loss_scale)
    state = optimizer.init(PARAMS)
    moved, _ = optimizer.update(half_gradients(optimizer, state, PARAMS), state, PARAMS)
    # By hand: w - 1e8 x 1e-8; float16 rounds 1e-8 x 2^15 to 1 part in 2,000.
    np.testing.assert_allclose(moved["w"], PARAMS["w"] - 1e8 * expected, atol=2e-3)


def test_an_overflow_is_left_out_and_halves_the_scale():
    optimizer = Optimizer(optax.adam(0.1), PARAMS, loss_scale="dynamic")
    state = optimizer.init(PARAMS)
    ones = jax.tree.map(jnp.ones_like, PARAMS)
    broken = {**ones, "b": jnp.array([jnp.inf])}
    moved, after = jax.jit(optimizer.update)(broken, state, PARAMS)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, moved, PARAMS))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, after.inner, state.inner))
    assert float(after.scale) == 2.0**14
    assert int(after.streak) == 0
    moved, after = jax.jit(optimizer.update)(ones, after, PARAMS)
    # Adam's first step is the rate, whatever the gradient.
    np.testing.assert_allclose(moved["b"], [0.4], rtol=1e-4)
    assert float(after.scale) == 2.0**14
    assert int(after.streak) == 1


def test_steps_without_an_overflow_double_it_and_it_never_falls_below_1():
    optimizer = Optimizer(optax.sgd(0.0), PARAMS, loss_scale="dynamic")
    ones = jax.tree.map(jnp.ones_like, PARAMS)
    state = optimizer.init(PARAMS)._replace(streak=jnp.int32(1_999))
    _, state = optimizer.update(ones, state, PARAMS)
    assert float(state.scale) == 2.0**16
    assert int(state.streak) == 0
    broken = jax.tree.map(lambda p: p * jnp.nan, PARAMS)
    for _ in range(20):
        _, state = optimizer.update(broken, state, PARAMS)
    assert float(state.scale) == 1.0
