"""Averages of the parameters, against TensorFlow's rule written out in float64."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.diagnostics.errors import ConfigError
from specflow.optimizer import averaged, track_average

PATHS = st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=12)


@given(gradients=PATHS, decay=st.sampled_from([0.0, 0.5, 0.99]), warm_up=st.booleans())
def test_averages_follow_the_rule_of_exponential_moving_average(
    gradients, decay, warm_up
):
    """tf.train.ExponentialMovingAverage: shadow -= (1 - d) * (shadow - variable), with
    d = min(decay, (1 + n) / (10 + n)) when it is given num_updates."""
    optimizer = optax.chain(optax.sgd(0.1), track_average(decay, warm_up=warm_up))
    params = {"w": jnp.float32(1.0)}
    state = optimizer.init(params)
    variable = shadow = 1.0
    for number, gradient in enumerate(gradients):
        updates, state = optimizer.update({"w": jnp.float32(gradient)}, state, params)
        params = optax.apply_updates(params, updates)
        variable -= 0.1 * gradient
        d = min(decay, (1 + number) / (10 + number)) if warm_up else decay
        shadow -= (1 - d) * (shadow - variable)
    np.testing.assert_allclose(params["w"], variable, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(state[1].average["w"], shadow, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_out_of_range_raises(decay):
    with pytest.raises(ConfigError, match="Expected 0 or more"):
        track_average(decay)


def test_an_optimizer_without_averages_raises():
    with pytest.raises(ConfigError) as caught:
        averaged({"w": 1}, {"[0]/mu/w": 2})
    assert str(caught.value) == (
        "eval_params: the optimizer keeps no averages. Put "
        "specflow.optimizer.track_average(decay) last in its chain."
    )


def test_names_with_equal_endings_are_distinguished():
    state = {"[1]/average/w": 1, "[1]/average/net.w": 2, "[1]/average/my/w": 3}
    found = averaged({"w": 0, "net.w": 0, "my/w": 0}, state)
    assert found == {"w": 1, "net.w": 2, "my/w": 3}
