"""An optimizer for each part of a model, from the configuration."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from specflow.compose import compose
from specflow.config.sections.optimizer_parts import PartsConfig
from specflow.diagnostics.errors import ConfigError
from specflow.executor import TrainState, to_tree
from specflow.optimizer import (
    build_eval_params_fn,
    build_learning_rate_schedule,
    build_optimizer,
    uses_ema_for_eval,
)
from specflow.tf import optimizers as tf

PARAMS = {"wide.kernel": jnp.ones(3), "deep.0.kernel": jnp.ones((2, 2))}
GRADIENTS = {
    "wide.kernel": jnp.array([0.3, -1.0, 2.0]),
    "deep.0.kernel": jnp.array([[1.0, 2.0], [-0.5, 0.1]]),
}


def parts(**parts):
    return PartsConfig.model_validate({"parts": parts})


def moves(optimizer, gradients=GRADIENTS):
    update = jax.jit(optimizer.update)
    return update(gradients, optimizer.init(PARAMS), PARAMS)[0]


def alone(optimizer, name):
    params, gradients = {name: PARAMS[name]}, {name: GRADIENTS[name]}
    return optimizer.update(gradients, optimizer.init(params), params)[0][name]


def test_each_part_is_updated_as_by_its_optimizer_alone():
    config = compose(["optimizer=wide_and_deep"]).config.optimizer
    moved = moves(build_optimizer(config, train_steps=10))
    expected = {
        "wide.kernel": alone(tf.ftrl(0.05), "wide.kernel"),
        "deep.0.kernel": alone(tf.adagrad(0.05), "deep.0.kernel"),
    }
    # One of them compiled, one not: the same rule, fused otherwise.
    for name, value in expected.items():
        np.testing.assert_allclose(moved[name], value, rtol=1e-6)


def test_the_first_part_that_matches_trains_a_parameter():
    config = parts(
        all={"paths": ["**"], "optimizer": {"name": "sgd", "lr": 0.5}},
        wide={"paths": ["wide.**"], "optimizer": {"name": "sgd", "lr": 9.0}},
    )
    moved = moves(build_optimizer(config, train_steps=10))
    np.testing.assert_allclose(moved["wide.kernel"], -0.5 * GRADIENTS["wide.kernel"])


def test_the_clipped_norm_is_that_of_all_parts():
    one = {"paths": ["wide.**"], "optimizer": {"name": "sgd", "lr": 1.0}}
    model_state = {"paths": ["**"], "optimizer": {"name": "sgd", "lr": 1.0}}
    given = {"parts": {"one": one, "state": model_state}, "clip_norm": 1.0}
    config = PartsConfig.model_validate(given)
    moved = moves(build_optimizer(config, train_steps=10))
    assert float(optax.tree.norm(moved)) == pytest.approx(1.0)


def test_a_schedule_of_a_part_ends_with_the_training():
    one = {
        "paths": ["**"],
        "optimizer": {"name": "sgd", "lr": 1.0, "schedule": {"name": "linear"}},
    }
    optimizer = build_optimizer(parts(one=one), train_steps=4)
    state, sizes = optimizer.init(PARAMS), []
    for _ in range(5):
        updates, state = optimizer.update(GRADIENTS, state, PARAMS)
        sizes.append(float(-updates["wide.kernel"][2] / 2))
    np.testing.assert_allclose(sizes, [1, 0.75, 0.5, 0.25, 0], atol=1e-6)
    assert build_learning_rate_schedule(parts(one=one), train_steps=4) is None


def test_a_parameter_without_a_part_raises():
    one = {"paths": ["wide.**"], "optimizer": {"name": "sgd"}}
    with pytest.raises(ConfigError) as caught:
        build_optimizer(parts(one=one), train_steps=4).init(PARAMS)
    assert str(caught.value) == (
        "optimizer.parts: no part trains deep.0.kernel. Expected a part for every "
        'parameter. Let the last one take the rest: paths: ["**"].'
    )


def test_an_error_inside_a_part_has_its_path():
    with pytest.raises(ConfigError, match=r"optimizer\.parts\.wide\.optimizer\.lr"):
        compose(["optimizer=wide_and_deep", "optimizer.parts.wide.optimizer.lr=fast"])


# -- averages inside parts


def averages(**emas):
    """Parts a and b, and what surrounds them, with averages."""
    inside = {
        name: {
            "paths": [f"{name}.**"],
            "optimizer": {"name": "sgd", "lr": 0.5, "ema": emas.get(name)},
        }
        for name in ("a", "b")
    }
    given = {"parts": inside, "ema": emas.get("around")}
    return PartsConfig.model_validate(given)


def evaluated(config):
    """The parameters to evaluate after two steps of size 1 down from (1, 1)."""
    params = {"a.w": jnp.float32(1), "b.w": jnp.float32(1)}
    optimizer = build_optimizer(config, train_steps=10)
    state = optimizer.init(params)
    for _ in range(2):
        gradient = jax.tree.map(lambda p: jnp.full_like(p, 2.0), params)
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    tree = to_tree(TrainState(0, params, {}, state))
    give = build_eval_params_fn(config)
    return {k: float(v) for k, v in give(params, tree["opt_state"]).items()}


LIVE = -1.0
QUARTER, HALF = (
    # tf.train.ExponentialMovingAverage by hand, over 1, 0, -1.
    decay * (decay * 1 + (1 - decay) * 0) + (1 - decay) * -1
    for decay in (0.25, 0.5)
)


@pytest.mark.parametrize(
    ("emas", "expected"),
    [
        ({"a": {"decay": 0.25}}, (QUARTER, LIVE)),
        ({"a": {"decay": 0.25}, "b": {"decay": 0.5}}, (QUARTER, HALF)),
        ({"a": {"decay": 0.25}, "around": {"decay": 0.5}}, (QUARTER, HALF)),
        (
            {"a": {"decay": 0.25, "evaluate": False}, "around": {"decay": 0.5}},
            (HALF, HALF),
        ),
        (
            {"a": {"decay": 0.25}, "around": {"decay": 0.5, "evaluate": False}},
            (QUARTER, LIVE),
        ),
    ],
)
def test_an_average_inside_a_part_is_evaluated(emas, expected):
    config = averages(**emas)
    assert uses_ema_for_eval(config)
    assert evaluated(config) == {"a.w": expected[0], "b.w": expected[1]}


def test_parts_inside_parts_have_averages_too():
    inner = averages(a={"decay": 0.25})
    config = PartsConfig.model_validate(
        {"parts": {"all": {"paths": ["**"], "optimizer": inner.model_dump()}}}
    )
    assert evaluated(config) == {"a.w": QUARTER, "b.w": LIVE}
    assert not uses_ema_for_eval(averages(a={"evaluate": False}))
    assert build_eval_params_fn(averages()) is None


def test_a_part_without_trained_parameters_has_no_average():
    config = averages(a={"decay": 0.25})
    state = build_optimizer(config, train_steps=10).init({"b.w": jnp.float32(1)})
    tree = to_tree(TrainState(0, {}, {}, state))
    params = {"a.w": 3, "b.w": 1}
    assert build_eval_params_fn(config)(params, tree["opt_state"]) == params
