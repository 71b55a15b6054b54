"""Learning rates over the steps. Expected: the papers' formulas, by hand or NumPy."""

from fractions import Fraction
from itertools import product

import jax
import numpy as np
import optax
import pytest

from specflow.config.sections.optimizer import ConstantConfig, CosineConfig, SgdConfig
from specflow.config.sections.schedules import (
    MEMBERS,
    ExponentialConfig,
    InverseSqrtConfig,
    PiecewiseConfig,
    PolynomialConfig,
    StableConfig,
)
from specflow.diagnostics.errors import ConfigError
from specflow.optimizer.build_optimizer import build_optimizer
from specflow.optimizer.schedule import build_schedule
from specflow.tf import optimizers

STEPS = np.arange(13)


def rates(config):
    rate = build_schedule(config, lr=2.0, train_steps=10)
    return [float(rate(step)) for step in STEPS]


def test_polynomial_decay_follows_the_formula():
    left = np.clip((10 - STEPS) / 8, 0, 1)
    expected = np.where(STEPS < 2, STEPS, 2.0 * (0.1 + 0.9 * left**3))
    config = PolynomialConfig(warmup_steps=2, power=3.0, final=0.1)
    np.testing.assert_allclose(rates(config), expected, rtol=1e-6)


def test_stable_is_the_peak_and_then_linear_decay():
    # By hand: warmup to step 2, four steps of the peak, four down to a half.
    expected = [0, 1, 2, 2, 2, 2, 2, 1.75, 1.5, 1.25, 1, 1, 1]
    config = StableConfig(warmup_steps=2, decay_share=0.5, final=0.5)
    np.testing.assert_allclose(rates(config), expected, rtol=1e-6)


def test_inverse_sqrt_follows_the_formula():
    # Vaswani et al., equation 3, scaled so that its peak is the rate.
    later = 2.0 * np.sqrt(4 / np.maximum(STEPS, 4))
    expected = np.where(STEPS < 4, 2.0 * STEPS / 4, later)
    np.testing.assert_allclose(
        rates(InverseSqrtConfig(warmup_steps=4)), expected, rtol=1e-6
    )


@pytest.mark.parametrize("staircase", [False, True])
def test_exponential_decay_follows_the_formula(staircase):
    periods = STEPS / 3
    expected = 2.0 * 0.5 ** (np.floor(periods) if staircase else periods)
    config = ExponentialConfig(every=3, keep=0.5, staircase=staircase)
    np.testing.assert_allclose(rates(config), expected, rtol=1e-6)


def test_piecewise_factors_apply_from_their_step_after_the_warmup():
    # By hand: the factor of step 1 falls into the warmup.
    expected = [0, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05]
    config = PiecewiseConfig(warmup_steps=2, factors={"1": 0.5, "5": 0.1, "9": 0.5})
    np.testing.assert_allclose(rates(config), expected, rtol=1e-6)


def _tf_piecewise_constant(x, boundaries, values):
    """TensorFlow 2.15's documentation, literally: values[0] when x <= boundaries[0]."""
    for boundary, value in zip(boundaries, values, strict=False):
        if x <= boundary:
            return value
    return values[-1]


BOUNDARIES, VALUES = [3, 7], [2.0, 0.5, 0.125]
TF_RATES = [_tf_piecewise_constant(step, BOUNDARIES, VALUES) for step in STEPS]


def test_a_boundary_may_keep_the_old_learning_rate_as_in_tensorflow():
    factors = {"3": 0.25, "7": 0.25}
    old = PiecewiseConfig(factors=factors, at_boundary="old")
    np.testing.assert_array_equal(rates(old), TF_RATES)
    # optax is the ground truth of the other one.
    new = optax.piecewise_constant_schedule(2.0, {3: 0.25, 7: 0.25})
    expected = [float(new(step)) for step in STEPS]
    np.testing.assert_array_equal(rates(PiecewiseConfig(factors=factors)), expected)
    assert np.flatnonzero(np.array(expected) != TF_RATES).tolist() == BOUNDARIES


def test_a_boundary_keeps_the_old_learning_rate_with_a_warmup():
    # By hand: the factor of step 1 falls into the warmup.
    expected = [0, 1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    config = PiecewiseConfig(
        warmup_steps=2, factors={"1": 0.5, "5": 0.1}, at_boundary="old"
    )
    np.testing.assert_allclose(rates(config), expected, rtol=1e-6)


def test_piecewise_constant_has_the_values_of_tensorflow_and_is_traceable():
    rate = optimizers.piecewise_constant(BOUNDARIES, VALUES)
    assert [float(rate(step)) for step in STEPS] == TF_RATES
    assert [float(jax.jit(rate)(step)) for step in STEPS] == TF_RATES
    assert float(optimizers.piecewise_constant([], [0.5])(9)) == 0.5


def test_a_tensorflow_optimizer_follows_a_piecewise_constant_schedule():
    """By hand: a gradient of 1 subtracts the rate of each step, counted from 0."""
    optimizer = optimizers.sgd(optimizers.piecewise_constant(BOUNDARIES, VALUES))
    param = np.float32(0)
    state, taken = optimizer.init(param), []
    for _ in STEPS:
        update, state = optimizer.update(np.float32(1), state, param)
        taken.append(-float(update))
    assert taken == TF_RATES


@pytest.mark.parametrize(
    ("boundaries", "values", "message"),
    [
        ([3], [1.0], "values: are 1, for 1 boundaries. Expected 2, one more than"),
        ([7, 3], VALUES, r"boundaries: are \[7, 3\]. Expected steps that ascend."),
        ([3, 3], VALUES, r"boundaries: are \[3, 3\]"),
        ([2.5], [1.0, 0.5], r"boundaries: are \[2.5\]"),
    ],
)
def test_invalid_piecewise_constant_arguments_raise(boundaries, values, message):
    with pytest.raises(ConfigError, match=message):
        optimizers.piecewise_constant(boundaries, values)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_traced_schedule_equals_the_called_one(name):
    given = {"exponential": {"every": 2}, "piecewise": {"factors": {"4": 0.5}}}
    rate = build_schedule(MEMBERS[name](**given.get(name, {})), lr=1.0, train_steps=9)
    for step in (0, 3, 8):
        assert float(jax.jit(rate)(step)) == pytest.approx(float(rate(step)), rel=1e-6)


DECIMALS = [Fraction(number, 1000) for number in range(0, 1001, 7)]
STEP_COUNTS = (1, 7, 10, 100, 300, 1_200, 40_000, 99_999, 2_000_000_000)


@pytest.mark.parametrize("train_steps", STEP_COUNTS)
def test_a_warmup_fraction_is_rounded_down_as_written(train_steps):
    """Expected: the share as a rational number, of Python's `fractions`."""
    for share in DECIMALS:
        warmup = ConstantConfig(warmup=float(share)).warmup_of(train_steps)
        assert warmup == share * train_steps // 1, share
    for above, below in product(range(1, 13), repeat=2):
        if above <= below:  # A quotient that Python computed, such as 1 / 12.
            warmup = ConstantConfig(warmup=above / below).warmup_of(train_steps)
            assert warmup == Fraction(above, below) * train_steps // 1, (above, below)


@pytest.mark.parametrize("name", ["constant", "cosine", *MEMBERS])
def test_a_warmup_fraction_is_the_same_schedule_as_its_steps(name):
    needed = {"exponential": {"every": 3}, "piecewise": {"factors": {"5": 0.1}}}
    more = needed.get(name, {})
    known = {"constant": ConstantConfig, "cosine": CosineConfig, **MEMBERS}
    share, steps = known[name](warmup=0.3, **more), known[name](warmup_steps=3, **more)
    np.testing.assert_array_equal(rates(share), rates(steps))


def test_inverse_sqrt_warms_up_for_at_least_one_step():
    assert InverseSqrtConfig(warmup=0.01).warmup_of(10) == 1
    assert InverseSqrtConfig().warmup_of(10) == 1_000


def test_the_state_structure_does_not_depend_on_the_steps_of_a_warmup_fraction():
    def state(train_steps):
        config = SgdConfig(lr=0.1, schedule=ConstantConfig(warmup=0.1))
        optimizer = build_optimizer(config, train_steps=train_steps)
        return jax.tree.structure(optimizer.init({"w": np.zeros(2)}))

    assert state(5) == state(20)
