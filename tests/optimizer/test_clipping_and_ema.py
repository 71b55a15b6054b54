"""Clipping before and moving averages after an optimizer."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from specflow.config.base import Component
from specflow.config.sections.optimizer import (
    CommonOptimizerConfig,
    EmaConfig,
    SgdConfig,
)
from specflow.config.sections.optimizer_parts import PartsConfig
from specflow.optimizer import averaged, build_optimizer, uses_ema_for_eval

PARAMS = {"a.w": jnp.array([1.0, 2.0]), "b.w": jnp.array([3.0])}
GRADIENT = {"a.w": jnp.array([4.0, -0.25]), "b.w": jnp.array([-3.0])}


def step(config):
    optimizer = build_optimizer(config, train_steps=10)
    state = optimizer.init(PARAMS)
    updates, state = optimizer.update(GRADIENT, state, PARAMS)
    return updates, state


def test_values_are_clipped_before_the_norm():
    updates, _ = step(SgdConfig(lr=1.0, clip_value=1.5, clip_norm=1.0))
    # By hand: (1.5, -0.25, -1.5), over its norm.
    clipped = np.array([1.5, -0.25, -1.5])
    expected = -clipped / np.linalg.norm(clipped)
    found = np.concatenate([updates["a.w"], updates["b.w"]])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("parts", [False, True])
def test_an_average_is_updated_after_the_parameters(parts):
    plain = SgdConfig(lr=0.5)
    ema = EmaConfig(decay=0.75)
    config = plain.model_copy(update={"ema": ema})
    if parts:
        part = {"paths": ["**"], "optimizer": {"name": "sgd", "lr": 0.5}}
        config = PartsConfig.model_validate(
            {"parts": {"all": part}, "ema": {"decay": 0.75}}
        )
    updates, state = step(config)
    # By hand: 0.75 of the start, 0.25 of where the step led.
    np.testing.assert_allclose(updates["b.w"], [1.5])
    np.testing.assert_allclose(state[-1].average["b.w"], [0.75 * 3.0 + 0.25 * 4.5])
    assert uses_ema_for_eval(config)


def test_a_plugin_without_a_learning_rate_has_the_common_fields_of_its_section():
    class Plain(CommonOptimizerConfig, Component):
        """Section of a plugin's transformation, which adds the gradient."""

        name: Literal["plain"] = "plain"

        def build(self):
            return optax.identity()

    updates, state = step(Plain(clip_value=1.5, ema=EmaConfig(decay=0.75)))
    np.testing.assert_array_equal(updates["a.w"], [1.5, -0.25])
    np.testing.assert_array_equal(updates["b.w"], [-1.5])
    # By hand: 0.75 of the start, 0.25 of where the step led.
    np.testing.assert_allclose(state[-1].average["b.w"], [0.75 * 3.0 + 0.25 * 1.5])


def test_an_average_need_not_be_evaluated():
    assert not uses_ema_for_eval(SgdConfig(ema=EmaConfig(evaluate=False)))
    assert not uses_ema_for_eval(SgdConfig())
    assert averaged({"w": 1}, {"[1]/average/w": 3}) == {"w": 3}
