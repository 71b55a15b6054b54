"""Loss scaling: 16-bit gradients do not underflow, and updates are the same."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from specflow.executor.optimizer_step import Optimizer

PARAMS = {"w": jnp.array([1.0, -2.0]), "b": jnp.array([0.5])}


def half_gradients(optimizer, state, params):
    """Gradient of 1e-8 x sum w, through float16, whose smallest number is 6e-8."""
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
def test_a_scale_keeps_gradients_that_underflow_in_float16(loss_scale, expected):
    optimizer = Optimizer(optax.sgd(1e8), PARAMS, loss_scale=loss_scale)
    state = optimizer.init(PARAMS)
    moved, _ = optimizer.update(half_gradients(optimizer, state, PARAMS), state, PARAMS)
    # By hand: w - 1e8 x 1e-8; float16 rounds 1e-8 x 2^15 to 1 part in 2,000.
    np.testing.assert_allclose(moved["w"], PARAMS["w"] - 1e8 * expected, atol=2e-3)


def test_an_overflow_skips_the_step_and_halves_the_scale():
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


def test_the_scale_doubles_without_overflows_and_stays_at_least_1():
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


def test_a_scale_stays_invertible_in_float32():
    """2**128 is infinite in float32; 1 / 2**127 is subnormal."""
    optimizer = Optimizer(optax.sgd(1.0), PARAMS, loss_scale="dynamic")
    state = optimizer.init(PARAMS)._replace(scale=jnp.float32(2.0**99))
    for streak in (1_999, 1_999, 2_500):
        state = state._replace(streak=jnp.int32(streak))
        scaled = {path: jnp.full_like(p, state.scale) for path, p in PARAMS.items()}
        moved, state = optimizer.update(scaled, state, PARAMS)
        np.testing.assert_array_equal(moved["w"], PARAMS["w"] - 1.0)
        assert not optimizer.skipped(state, state._replace(streak=jnp.int32(2_501)))
    assert float(state.scale) == 2.0**100


def test_a_large_scale_of_16_bit_gradients_is_inverted():
    """2**-26 is 0 in float16, so the inverse is applied in float32."""
    params = {"w": jnp.ones(2, jnp.float16)}
    optimizer = Optimizer(optax.sgd(1.0), params, loss_scale=2.0**26)
    gradients = {"w": jnp.full(2, 2.0**15, jnp.float16)}
    moved, _ = optimizer.update(gradients, optimizer.init(params), params)
    # By hand: 1 - 2**15 / 2**26, in float16.
    np.testing.assert_array_equal(moved["w"], np.float16(1 - 2.0**-11))
