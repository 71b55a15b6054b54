"""The `tf_*` optimizers follow TensorFlow's update rules, to float32 rounding.

Expected values are TensorFlow's documented formulas (raw ops ApplyGradientDescent,
ApplyMomentum, ApplyAdam, ApplyAdagrad, ApplyAdadelta, ApplyRMSProp,
ApplyCenteredRMSProp, ApplyFtrl, ApplyFtrlV2), written out here in NumPy float32, and
first steps worked out by hand with numbers that leave no rounding.
"""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from specflow.config.sections.optimizer import LinearDecayConfig, OptimizerConfig
from specflow.optimizer import build_optimizer
from specflow.tf import optimizers as tf

KINDS = get_args(OptimizerConfig)[1].members
RULES = {f"tf_{name}" for name in tf.__all__} - {"tf_piecewise_constant"}
STEPS = 400
HALF_ULP = 2.0**-24
ROUNDINGS_IN_A_RULE = 12
"""Operations of the longest rule, Ftrl with shrinkage."""

f32 = np.float32


def sgd(var, grads, lr):
    for g, rate in zip(grads, lr, strict=True):
        var = var - rate * g
        yield var


def momentum(var, grads, lr, *, momentum=0.9, use_nesterov=False):
    accum, momentum = np.zeros_like(var), f32(momentum)
    for g, rate in zip(grads, lr, strict=True):
        accum = accum * momentum + g
        if use_nesterov:
            var = var - (g * rate + accum * momentum * rate)
        else:
            var = var - accum * rate
        yield var


def adam(var, grads, lr, *, beta1=0.9, beta2=0.999, epsilon=1e-8):
    m = v = np.zeros_like(var)
    beta1, beta2, one = f32(beta1), f32(beta2), f32(1)
    power1, power2 = beta1, beta2
    for g, rate in zip(grads, lr, strict=True):
        lr_t = rate * np.sqrt(one - power2) / (one - power1)
        m = m + (g - m) * (one - beta1)
        v = v + (g * g - v) * (one - beta2)
        var = var - lr_t * m / (np.sqrt(v) + f32(epsilon))
        power1, power2 = power1 * beta1, power2 * beta2
        yield var


def adagrad(var, grads, lr, *, initial_accumulator_value=0.1):
    accum = np.full_like(var, initial_accumulator_value)
    for g, rate in zip(grads, lr, strict=True):
        accum = accum + g * g
        var = var - rate * g * (f32(1) / np.sqrt(accum))
        yield var


def adadelta(var, grads, lr, *, rho=0.95, epsilon=1e-8):
    accum = accum_update = np.zeros_like(var)
    rho, epsilon, one = f32(rho), f32(epsilon), f32(1)
    for g, rate in zip(grads, lr, strict=True):
        accum = rho * accum + (one - rho) * g * g
        update = np.sqrt(accum_update + epsilon) * (one / np.sqrt(accum + epsilon)) * g
        accum_update = rho * accum_update + (one - rho) * update * update
        var = var - rate * update
        yield var


def rmsprop(var, grads, lr, *, decay=0.9, momentum=0.0, epsilon=1e-10, centered=False):
    ms, mg, mom = np.ones_like(var), np.zeros_like(var), np.zeros_like(var)
    decay, epsilon, one = f32(decay), f32(epsilon), f32(1)
    for g, rate in zip(grads, lr, strict=True):
        ms = ms + (g * g - ms) * (one - decay)
        mg = mg + (g - mg) * (one - decay)
        spread = ms - mg * mg if centered else ms
        mom = f32(momentum) * mom + rate * g / np.sqrt(spread + epsilon)
        var = var - mom
        yield var


def ftrl(
    var,
    grads,
    lr,
    *,
    lr_power=-0.5,
    initial_accumulator_value=0.1,
    l1=0.0,
    l2=0.0,
    l2_shrinkage=0.0,
    beta=0.0,
):
    accum = np.full_like(var, initial_accumulator_value)
    linear, power = np.zeros_like(var), f32(-lr_power)
    for g, rate in zip(grads, lr, strict=True):
        adjusted_l2 = f32(l2) + f32(beta) / (f32(2) * rate)
        with_shrinkage = g + f32(2) * f32(l2_shrinkage) * var
        accum_new = accum + g * g
        linear = linear + with_shrinkage
        linear = linear - (accum_new**power - accum**power) / rate * var
        quadratic = accum_new**power / rate + f32(2) * adjusted_l2
        var = np.where(
            np.abs(linear) > f32(l1),
            (np.sign(linear) * f32(l1) - linear) / quadratic,
            f32(0),
        )
        accum = accum_new
        yield var


CASES = [
    ("tf_sgd", sgd, 0.01, {}),
    ("tf_momentum", momentum, 0.01, {}),
    ("tf_momentum", momentum, 0.01, {"use_nesterov": True, "momentum": 0.8}),
    ("tf_adam", adam, 0.01, {}),
    ("tf_adam", adam, 0.01, {"beta1": 0.5, "beta2": 0.99, "epsilon": 1e-3}),
    ("tf_adagrad", adagrad, 0.1, {}),
    ("tf_adagrad", adagrad, 0.1, {"initial_accumulator_value": 1e-3}),
    ("tf_adadelta", adadelta, 1.0, {}),
    ("tf_adadelta", adadelta, 0.1, {"rho": 0.8, "epsilon": 1e-4}),
    ("tf_rmsprop", rmsprop, 0.01, {}),
    ("tf_rmsprop", rmsprop, 0.01, {"momentum": 0.9}),
    ("tf_rmsprop", rmsprop, 0.01, {"centered": True, "momentum": 0.5}),
    ("tf_rmsprop", rmsprop, 0.01, {"decay": 0.5, "epsilon": 1e-2}),
    ("tf_ftrl", ftrl, 0.1, {}),
    ("tf_ftrl", ftrl, 0.1, {"l1": 0.05, "l2": 0.01}),
    ("tf_ftrl", ftrl, 0.1, {"l1": 0.01, "l2_shrinkage": 0.1}),
    ("tf_ftrl", ftrl, 0.1, {"lr_power": -0.7, "beta": 0.5, "l1": 0.01}),
    ("tf_ftrl", ftrl, 0.1, {"initial_accumulator_value": 1.0, "lr_power": 0.0}),
]
NAMED = [f"{name} {fields}" for name, _, _, fields in CASES]


def variables_and_gradients(seed=0):
    """Gradients from 1e-6 to 1e3, three in ten of them zero, and some always zero.

    Half of the variables begin at zero, where nothing hides an update's own rounding.
    """
    rng, count = np.random.default_rng(seed), 48
    var = rng.normal(size=count).astype(f32)
    var[::2] = 0
    grads = rng.normal(size=(STEPS, count)) * 10.0 ** rng.uniform(-6, 3, count)
    grads[rng.random(grads.shape) < 0.3] = 0
    grads[:, -2:] = 0
    return var, grads.astype(f32)


def path_of(optimizer, var, grads):
    """The variables after each step, as a training program would move them."""

    def step(carry, gradient):
        params, state = carry
        updates, state = optimizer.update({"w": gradient}, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params["w"]

    params = {"w": jnp.asarray(var)}
    start = params, optimizer.init(params)
    return np.asarray(jax.jit(lambda g: jax.lax.scan(step, start, g)[1])(grads))


def assert_equal_to_rounding(actual, expected, var, *, momentum=0.0):
    """Half an ulp of the largest value so far for each rounding there was.

    Gradients do not depend on the variables here, so an error made at one step is only
    carried on: each step adds that of its last addition, on top of one rule's own. An
    error of a velocity moves the variable 1 / (1 - momentum) times before it is gone.
    """
    largest = np.maximum.accumulate(np.abs([var, *expected]), axis=0)[1:]
    roundings = ROUNDINGS_IN_A_RULE + np.arange(1, len(expected) + 1)[:, None]
    roundings = roundings / (1 - momentum)
    error = np.abs(actual.astype(np.float64) - expected)
    assert (error <= roundings * HALF_ULP * largest).all()


@pytest.mark.parametrize(("name", "formula", "lr", "fields"), CASES, ids=NAMED)
def test_hundreds_of_steps_follow_the_formula(name, formula, lr, fields):
    var, grads = variables_and_gradients()
    config = KINDS[name](lr=lr, **fields)
    actual = path_of(build_optimizer(config, train_steps=STEPS), var, grads)
    expected = np.stack([*formula(var, grads, [f32(lr)] * STEPS, **fields)])
    assert expected.dtype == f32
    assert np.isfinite(expected).all()
    kept = getattr(config, "momentum", 0.0)
    assert_equal_to_rounding(actual, expected, var, momentum=kept)


@pytest.mark.parametrize(("name", "formula", "lr", "fields"), CASES, ids=NAMED)
def test_a_schedule_is_evaluated_at_the_step_before_the_update(
    name, formula, lr, fields
):
    """The reference reads its rate at the global step before it counts the step."""
    var, grads = variables_and_gradients(seed=1)
    schedule = LinearDecayConfig(final=0.5)
    config = KINDS[name](lr=lr, schedule=schedule, **fields)
    actual = path_of(build_optimizer(config, train_steps=STEPS), var, grads)
    # optax's own float32 line: the rates are not what is tried here.
    rate = jax.vmap(optax.linear_schedule(lr, lr * 0.5, STEPS))
    rates = np.asarray(rate(jnp.arange(STEPS)))
    expected = np.stack([*formula(var, grads, rates, **fields)])
    kept = getattr(config, "momentum", 0.0)
    assert_equal_to_rounding(actual, expected, var, momentum=kept)


BY_HAND = [
    # 1 - 0.5 * 2
    ("tf_sgd", {"lr": 0.5}, 1.0, 2.0, 0.0),
    # The first velocity is the gradient; looking ahead adds half of it again.
    ("tf_momentum", {"lr": 0.5, "momentum": 0.5}, 1.0, 2.0, 0.0),
    (
        "tf_momentum",
        {"lr": 0.5, "momentum": 0.5, "use_nesterov": True},
        1.0,
        2.0,
        -0.5,
    ),
    # m = 1, v = 1, rate * sqrt(1/4) / (1/2) = rate; 1 / (1 + epsilon). The corrected
    # form (optax.adam) would give 2 / (2 + epsilon).
    (
        "tf_adam",
        {"lr": 0.5, "beta1": 0.5, "beta2": 0.75, "epsilon": 1.0},
        1.0,
        2.0,
        0.75,
    ),
    # sqrt(9 + 16) = 5
    ("tf_adagrad", {"lr": 5.0, "initial_accumulator_value": 9.0}, 1.0, 4.0, -3.0),
    # squares = 8, sqrt(0 + 1) / sqrt(8 + 1) * 4
    ("tf_adadelta", {"lr": 3.0, "rho": 0.5, "epsilon": 1.0}, 1.0, 4.0, -3.0),
    # squares = 1/2 + 9/2 = 5, sqrt(5 + 4) = 3
    ("tf_rmsprop", {"lr": 0.5, "decay": 0.5, "epsilon": 4.0}, 1.0, 3.0, 0.5),
    # mean = 3/2, 5 - 9/4 + 25/4 = 9
    (
        "tf_rmsprop",
        {"lr": 0.5, "decay": 0.5, "epsilon": 6.25, "centered": True},
        1.0,
        3.0,
        0.5,
    ),
    # squares 9 -> 25, linear = 4 - (5 - 3) * 1 = 2
    ("tf_ftrl", {"lr": 1.0, "initial_accumulator_value": 9.0}, 1.0, 4.0, -0.4),
    # (0.5 - 2) / (5 + 2 * 0.5)
    (
        "tf_ftrl",
        {"lr": 1.0, "initial_accumulator_value": 9.0, "l1": 0.5, "l2": 0.5},
        1.0,
        4.0,
        -0.25,
    ),
    # |linear| = 2 is no more than l1
    (
        "tf_ftrl",
        {"lr": 1.0, "initial_accumulator_value": 9.0, "l1": 2.0},
        1.0,
        4.0,
        0.0,
    ),
    # linear = 4 + 2 * 0.5 * 1 - 2 = 3, and squares are without the shrinkage
    (
        "tf_ftrl",
        {"lr": 1.0, "initial_accumulator_value": 9.0, "l2_shrinkage": 0.5},
        1.0,
        4.0,
        -0.6,
    ),
    # 2 / (5 + 1)
    (
        "tf_ftrl",
        {"lr": 1.0, "initial_accumulator_value": 9.0, "beta": 1.0},
        1.0,
        4.0,
        -1 / 3,
    ),
    # A rate that does not fall: linear = 4, quadratic = 1 / 0.5
    ("tf_ftrl", {"lr": 0.5, "lr_power": 0.0}, 1.0, 4.0, -2.0),
]


@pytest.mark.parametrize(("name", "fields", "var", "gradient", "after"), BY_HAND)
def test_the_first_step_equals_the_value_computed_by_hand(
    name, fields, var, gradient, after
):
    optimizer = build_optimizer(KINDS[name](**fields), train_steps=1)
    path = path_of(optimizer, f32([var]), f32([[gradient]]))
    # What float32 holds comes out as it is; -0.4, -0.6 and -1/3 are rounded, and so is
    # their distance from 1, which is what an optimizer hands over.
    np.testing.assert_allclose(path[0, 0], after, rtol=4 * HALF_ULP)


def test_every_rule_has_cases_of_both_kinds():
    assert {name for name, *_ in CASES} == RULES
    assert {name for name, *_ in BY_HAND} == RULES


def test_ftrl_changes_nothing_at_a_rate_of_zero():
    """The first step of a warmup: by the formula, it would divide by zero."""
    optimizer = tf.ftrl(lambda step: 0.1 * step, l1=0.01)
    var, grads = f32([1.0, -2.0]), f32([[0.5, 0.5], [0.5, -1.0]])
    path = path_of(optimizer, var, grads)
    np.testing.assert_array_equal(path[0], var)
    alone = path_of(tf.ftrl(0.1, l1=0.01), var, grads[1:])
    # Two programs: XLA may fuse a product and a sum in one of them.
    np.testing.assert_allclose(path[1], alone[0], rtol=4 * HALF_ULP)


def test_parameters_of_any_tree_and_dtype_are_updated():
    params = {"a": [jnp.ones(2, jnp.bfloat16)], "b": jnp.ones((2, 3))}
    for name in sorted(RULES):
        optimizer = getattr(tf, name.removeprefix("tf_"))(0.1)
        updates, state = optimizer.update(params, optimizer.init(params), params)
        assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, params)
        assert updates["a"][0].dtype == jnp.bfloat16
        for slot in state.slots.values():
            assert jax.tree.structure(slot) == jax.tree.structure(params)
            assert slot["a"][0].dtype == jnp.bfloat16


def test_an_update_without_parameters_raises():
    optimizer = tf.sgd(0.1)
    with pytest.raises(ValueError, match=r"^the parameters are needed: update\(grads"):
        optimizer.update({"w": jnp.ones(1)}, optimizer.init({"w": jnp.ones(1)}))
