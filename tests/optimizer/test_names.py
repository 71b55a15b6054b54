"""The `optimizer` section has the optimizers of optax, with their names and defaults.

What optax says comes from `inspect.signature`, so that a new version of it that adds,
renames or changes anything is found here.
"""

import functools
import inspect
import sys
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from specflow.compose import compose
from specflow.config.base import TARGET, Target
from specflow.config.sections.optimizer import OptimizerConfig
from specflow.optimizer import build_optimizer
from specflow.tf import optimizers as tf

KINDS = get_args(OptimizerConfig)[1].members
NAMES = [name for name in KINDS if name not in (TARGET, "parts")]
OURS = {"name", "lr", "schedule", "clip_norm", "clip_value", "ema", "no_decay"}
LEFT_OUT = {
    "optimistic_adam": "deprecated",
    "lbfgs": "needs the loss as a function",
    "polyak_sgd": "needs the loss",
}
NOT_OFFERED = {
    "mask": "no_decay in its place",
    "weight_decay_mask": "no_decay in its place",
    "trust_ratio_mask": "a tree, or a function",
    "seed": "deprecated",
}
SPELT = {
    ("adafactor", "dtype_momentum"): (jnp.float32, "float32"),
    ("noisy_sgd", "key"): (None, 0),
}
"""(what optax says, what ours is): optax warns of None for the key, and takes 0."""


def function_of(name):
    home = tf if name.startswith("tf_") else optax
    return getattr(home, name.removeprefix("tf_"))


def parameters_of(name):
    """Argument -> default, but for the rate."""
    first, *rest = inspect.signature(function_of(name)).parameters.values()
    assert first.name == "learning_rate"
    return {parameter.name: parameter.default for parameter in rest}


def aliases():
    """Every function of optax that makes an optimizer from a learning rate."""
    for name in dir(optax):
        value = getattr(optax, name)
        plain = value.func if isinstance(value, functools.partial) else value
        if getattr(plain, "__module__", "") == "optax._src.alias" and callable(value):
            yield name


def test_every_optimizer_of_optax_is_offered_or_excluded_for_a_reason():
    offered = {name for name in NAMES if not name.startswith("tf_")}
    assert offered | LEFT_OUT.keys() == set(aliases())
    assert not offered & LEFT_OUT.keys()


def test_every_optimizer_of_tensorflow_is_offered():
    rules = {f"tf_{name}" for name in tf.__all__} - {"tf_piecewise_constant"}
    assert {name for name in NAMES if name.startswith("tf_")} == rules


@pytest.mark.parametrize("name", NAMES)
def test_fields_and_defaults_are_the_functions_own(name):
    fields = {
        field: info.get_default(call_default_factory=True)
        for field, info in KINDS[name].model_fields.items()
        if field not in OURS
    }
    expected = {
        argument: SPELT.get((name, argument), (default, default))
        for argument, default in parameters_of(name).items()
        if argument not in NOT_OFFERED
    }
    assert fields == {argument: ours for argument, (_, ours) in expected.items()}
    theirs = parameters_of(name)
    for argument, (said, _) in expected.items():
        assert theirs[argument] == said


@pytest.mark.parametrize("name", NAMES)
def test_no_decay_exists_wherever_the_function_takes_a_mask(name):
    masks = {"mask", "weight_decay_mask"} & parameters_of(name).keys()
    assert ("no_decay" in KINDS[name].model_fields) == bool(masks)


@pytest.mark.parametrize("name", NAMES)
def test_a_section_is_registered_under_its_own_name(name):
    assert KINDS[name].model_fields["name"].default == name
    assert KINDS[name]().name == name


def test_modules_contain_the_listed_names():
    own = [name for name in NAMES if not name.startswith("tf_")]
    elsewhere = [KINDS[name].__module__ for name in own]
    for module in set(elsewhere) - {"specflow.config.sections.optimizer"}:
        listed = {name for name in own if KINDS[name].__module__ == module}
        assert sys.modules[module].MEMBERS.keys() == listed


@pytest.mark.parametrize("name", NAMES)
def test_a_config_file_selects_it_with_its_defaults(name):
    composed = compose([f"optimizer={name}"]).config.optimizer
    assert composed == KINDS[name]()


PARAMS = {"head.kernel": np.linspace(-1, 1, 12).reshape(4, 3), "head.bias": np.ones(3)}


def updates_of(optimizer):
    """The updates of three steps."""
    rng = np.random.default_rng(0)
    params = jax.tree.map(jnp.float32, PARAMS)
    state, updates = optimizer.init(params), []
    for _ in range(3):
        gradients = {
            k: jnp.float32(rng.normal(size=p.shape)) for k, p in params.items()
        }
        moved, state = jax.jit(optimizer.update)(gradients, state, params)
        params = optax.apply_updates(params, moved)
        updates.append(moved)
    return updates


def quietly(make, rate):
    """The function as it stands; without the key that optax will want some day."""
    return make(rate, key=0) if make is optax.noisy_sgd else make(rate)


@pytest.mark.parametrize("name", NAMES)
def test_the_name_alone_builds_the_functions_optimizer(name):
    fields = {"no_decay": []} if "no_decay" in KINDS[name].model_fields else {}
    config = KINDS[name](lr=0.1, **fields)
    actual = updates_of(build_optimizer(config, train_steps=10))
    expected = updates_of(quietly(function_of(name), 0.1))
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


WITH_DECAY = ["adadelta", "adafactor", "adamaxw", "adan", "lamb", "lars", "lion"]


@pytest.mark.parametrize("name", [*WITH_DECAY, "nadamw", "adamw"])
def test_weight_decay_applies_to_kernels_and_not_to_biases(name):
    field = "weight_decay_rate" if name == "adafactor" else "weight_decay"

    def updates(decay):
        config = KINDS[name](lr=0.1, **{field: decay})
        return updates_of(build_optimizer(config, train_steps=10))[0]

    with_decay, without = updates(0.5), updates(0.0)
    np.testing.assert_array_equal(with_decay["head.bias"], without["head.bias"])
    assert (with_decay["head.kernel"] != without["head.kernel"]).any()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize(
    ("name", "field", "more"),
    [
        ("adam", "mu_dtype", {}),
        ("lion", "mu_dtype", {}),
        ("signum", "accumulator_dtype", {}),
        ("sgd", "accumulator_dtype", {"momentum": 0.9}),
        ("adafactor", "dtype_momentum", {"momentum": 0.9}),
    ],
)
def test_a_moment_has_the_configured_dtype(name, field, more, dtype):
    config = KINDS[name](**{field: dtype}, **more)
    state = build_optimizer(config, train_steps=10).init(
        jax.tree.map(jnp.float32, PARAMS)
    )
    assert jnp.dtype(dtype) in {leaf.dtype for leaf in jax.tree.leaves(state)}


def test_a_target_is_a_kind_too():
    assert KINDS[TARGET] is Target
