"""Reported learning rates of a built optimizer. Expected: by hand, or optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from specflow.compose import compose
from specflow.config.sections.optimizer import SgdConfig
from specflow.config.sections.optimizer_parts import PartsConfig
from specflow.executor.optimizer_step import Optimizer
from specflow.optimizer import build_optimizer, with_learning_rate
from specflow.tf import optimizers
from tests.optimizer.test_names import KINDS, NAMES

PARAMS = {"a.kernel": jnp.ones((2, 2)), "b.kernel": jnp.full((2, 2), 2.0)}
LINE = {"name": "linear", "decay_steps": 8}
EXPECTED = 0.5 * (1 - np.arange(3) / 8)
"""Rates of three steps, of a line from 0.5 to 0 at step 8."""


def rates(transformation, steps=3):
    """Name -> the rate of each step."""
    optimizer = Optimizer(transformation, PARAMS)
    state, params, found = optimizer.init(PARAMS), PARAMS, []

    @jax.jit
    def step(index, params, state):
        moved, after = optimizer.update(params, state, params)
        return moved, after, optimizer.step_metrics(params, state, after, index)

    for index in range(steps):
        params, state, measured = step(jnp.array(index), params, state)
        found.append(dict(zip(measured.names, measured.values.tolist(), strict=True)))
    names = set().union(*found) - {"gradient_norm"}
    return {name: [row[name] for row in found] for name in sorted(names)}


@pytest.mark.parametrize(
    "name", [name for name in NAMES if "schedule" in KINDS[name].model_fields]
)
def test_every_scheduled_optimizer_reports_the_learning_rate_of_each_step(name):
    settings = {"name": name, "lr": 0.5, "schedule": LINE, "clip_norm": 1.0}
    config = KINDS[name].model_validate({**settings, "ema": {"decay": 0.9}})
    found = rates(build_optimizer(config, train_steps=8))
    assert list(found) == ["learning_rate"]
    np.testing.assert_allclose(found["learning_rate"], EXPECTED, rtol=1e-6)


def test_a_constant_learning_rate_is_the_number():
    found = rates(build_optimizer(SgdConfig(lr=0.25), train_steps=8))
    assert found == {"learning_rate": [0.25] * 3}


def test_rprop_reports_no_learning_rate():
    config = compose(["optimizer=rprop"]).config.optimizer
    assert rates(build_optimizer(config, train_steps=8)) == {}


def test_parts_report_a_learning_rate_each_also_when_nested():
    inner = {
        "name": "parts",
        "parts": {
            "x": {"paths": ["b.*"], "optimizer": {"name": "sgd", "lr": 0.125}},
            "y": {
                "paths": ["**"],
                "optimizer": {"name": "adam", "lr": 0.5, "schedule": LINE},
            },
        },
    }
    outer = PartsConfig.model_validate(
        {
            "clip_norm": 1.0,
            "parts": {
                "first": {
                    "paths": ["a.*"],
                    "optimizer": {"name": "adam", "lr": 0.5, "schedule": LINE},
                },
                "others": {"paths": ["**"], "optimizer": inner},
            },
        }
    )
    found = rates(build_optimizer(outer, train_steps=8))
    assert list(found) == [
        "learning_rate/first", "learning_rate/others/x", "learning_rate/others/y",
    ]  # fmt: skip
    np.testing.assert_allclose(found["learning_rate/first"], EXPECTED, rtol=1e-6)
    assert found["learning_rate/others/x"] == [0.125] * 3
    # No parameter is left for it: nothing in its state counts, or moves.
    np.testing.assert_allclose(found["learning_rate/others/y"], EXPECTED, rtol=1e-6)


@pytest.mark.parametrize("every", [1, 2])
def test_a_schedule_is_evaluated_at_the_count_of_its_state(every):
    """`optax.MultiSteps` updates at every second step alone."""
    line = optax.linear_schedule(0.5, 0.0, 8)
    several = optax.MultiSteps(optax.adam(line), every)
    found = rates(with_learning_rate(several.gradient_transformation(), line), 6)
    expected = [0.5 * (1 - step // every / 8) for step in range(6)]
    np.testing.assert_allclose(found["learning_rate"], expected, rtol=1e-6)


def test_a_wrapper_hides_the_learning_rate():
    line = optax.linear_schedule(0.5, 0.0, 8)
    assert list(rates(optimizers.adam(line))) == ["learning_rate"]
    assert rates(optax.chain(optax.clip(1.0), optimizers.adam(line))) == {}


def test_it_is_the_same_transformation():
    """And one that takes extra arguments, as optax makes of any."""
    rated = with_learning_rate(optax.adam(0.1), 0.1)
    assert isinstance(rated, optax.GradientTransformationExtraArgs)
    plain = optax.adam(0.1)
    state = plain.init(PARAMS)
    for one, other in zip(
        jax.tree.leaves(rated.update(PARAMS, state, PARAMS)),
        jax.tree.leaves(plain.update(PARAMS, state, PARAMS)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
