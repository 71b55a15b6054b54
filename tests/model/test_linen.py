"""Linen at the rim: names, values and random streams, beside Flax's own init and apply.

Expected values come from Flax itself: `module.init` and `module.apply`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from specflow.config.base import Target
from specflow.diagnostics.errors import SpecError
from specflow.model import (
    LinenModel,
    SplitModel,
    build_model,
    is_misplaced,
    split_model,
)

X = jax.random.normal(jax.random.key(7), (16, 3))
KEY = jax.random.key(5)


class Net(nn.Module):
    """Parameters, statistics and dropout."""

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.Dense(4)(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        return nn.Dropout(0.5, deterministic=not train)(x)


def trains(module):
    return module(X, train=True)


def does_not_train(module):
    return module(X, train=False)


def inline(_):
    return Net()(X, train=True)


def known(module=None, function=trains) -> LinenModel:
    """A model that has learned from one function what it is."""
    model = LinenModel(module)

    def make(key):
        return model.made(function, key)

    model.learn(make, jax.eval_shape(make, jax.random.key(0)))
    return model


def test_parameters_go_by_their_layer_and_the_rest_by_its_collection():
    model = known(Net())
    assert sorted(model.abstract_params) == [
        "BatchNorm_0.bias",
        "BatchNorm_0.scale",
        "Dense_0.bias",
        "Dense_0.kernel",
    ]
    assert sorted(model.abstract_model_state) == [
        "batch_stats.BatchNorm_0.mean",
        "batch_stats.BatchNorm_0.var",
        "rngs.count",
        "rngs.key",
    ]
    assert model.abstract_params["Dense_0.kernel"].shape == (3, 4)


def test_layers_made_inline_are_named_as_those_of_a_compact_module():
    model = known(function=lambda _: nn.Dense(2)(nn.Dense(4)(X)))
    assert sorted(model.abstract_params) == [
        "Dense_0.bias",
        "Dense_0.kernel",
        "Dense_1.bias",
        "Dense_1.kernel",
    ]
    assert sorted(known(function=inline).abstract_params)[0] == "Net_0.BatchNorm_0.bias"


def test_initial_values_are_those_of_flax():
    params, model_state = known(Net()).init(KEY)
    expected = Net().init(KEY, X, train=True)
    for layer, values in expected["params"].items():
        for name, value in values.items():
            np.testing.assert_array_equal(params[f"{layer}.{name}"], value)
    np.testing.assert_array_equal(
        model_state["batch_stats.BatchNorm_0.var"],
        expected["batch_stats"]["BatchNorm_0"]["var"],
    )
    assert model_state["rngs.key"].dtype == np.uint32  # Plain numbers, for checkpoints.
    assert model_state["rngs.count"] == 0


def test_out_of_training_a_call_is_apply_and_changes_nothing():
    model = known(Net())
    params, model_state = model.init(KEY)
    found, after = model.call(does_not_train, params, model_state, train=False)
    variables = Net().init(KEY, X, train=True)
    np.testing.assert_array_equal(found, Net().apply(variables, X, train=False))
    assert after == model_state


def test_in_training_statistics_move_as_flax_moves_them():
    model = known(Net())
    params, model_state = model.init(KEY)
    _, after = model.call(trains, params, model_state, train=True)
    variables = Net().init(KEY, X, train=True)
    _, expected = Net().apply(
        variables, X, train=True, mutable=["batch_stats"], rngs={"dropout": KEY}
    )
    for name in ("mean", "var"):
        np.testing.assert_array_equal(
            after[f"batch_stats.BatchNorm_0.{name}"],
            expected["batch_stats"]["BatchNorm_0"][name],
        )
    assert after.keys() == model_state.keys()


def test_dropout_differs_by_step_and_is_a_function_of_the_state():
    model = known(Net())
    params, model_state = model.init(KEY)
    first, after = model.call(trains, params, model_state, train=True)
    second, _ = model.call(trains, params, after, train=True)
    again, _ = model.call(trains, params, model_state, train=True)
    np.testing.assert_array_equal(first, again)
    dropped = [np.asarray(out == 0) for out in (first, second)]
    assert (dropped[0] != dropped[1]).any()
    assert after["rngs.count"] == 1
    np.testing.assert_array_equal(after["rngs.key"], model_state["rngs.key"])


def test_any_stream_has_random_numbers_but_dropout_is_there_in_training_only():
    class Asks(nn.Module):
        @nn.compact
        def __call__(self):
            nn.Dense(1)(X)
            noise = jax.random.normal(self.make_rng("noise"))
            return noise, self.has_rng("dropout")

    model = known(Asks(), lambda module: module())
    state = model.init(KEY)
    (one, is_there), _ = model.call(lambda m: m(), *state, train=True)
    (other, is_there_too), _ = model.call(lambda m: m(), *state, train=False)
    assert (is_there, is_there_too) == (True, False)
    assert jnp.isfinite(one)
    assert jnp.isfinite(other)


def test_a_module_can_be_called_twice_and_by_its_methods():
    class Auto(nn.Module):
        def setup(self):
            self.encoder, self.decoder = nn.Dense(2), nn.Dense(3)

        def encode(self, x):
            return self.encoder(x)

        def __call__(self, x):
            return self.decoder(self.encode(x))

    def function(module):
        return module(X) + module(2 * X), module.encode(X)

    model = known(Auto(), function)
    params, model_state = model.init(KEY)
    (twice, code), _ = model.call(function, params, model_state, train=False)
    variables = Auto().init(KEY, X)
    np.testing.assert_array_equal(
        twice, Auto().apply(variables, X) + Auto().apply(variables, 2 * X)
    )
    np.testing.assert_array_equal(code, Auto().apply(variables, X, method="encode"))


def test_what_is_sown_can_be_read_and_the_state_keeps_its_form():
    class Sows(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(1)(x)
            self.sow("intermediates", "hidden", x)
            self.sow("losses", "size", (x**2).sum())
            return x

    def function(module):
        return module(X), module.variables["intermediates"]["hidden"][0]

    model = known(Sows(), function)
    params, model_state = model.init(KEY)
    assert not any(name.startswith("intermediates") for name in model_state)
    for train in (True, False):
        (out, hidden), after = model.call(function, params, model_state, train=train)
        np.testing.assert_array_equal(out, hidden)
        assert jax.tree.structure(after) == jax.tree.structure(model_state)


def test_boxes_with_names_of_axes_are_taken_off():
    init = nn.with_partitioning(nn.initializers.ones, (None, "model"))
    model = known(nn.Dense(2, kernel_init=init), lambda module: module(X))
    params, model_state = model.init(KEY)
    assert params["kernel"].shape == (3, 2)
    out, _ = model.call(lambda module: module(X), params, model_state, train=True)
    np.testing.assert_allclose(out[:, 0], X.sum(1), rtol=1e-5)  # Sums of 3 float32.


def test_random_keys_in_a_collection_are_carried_as_numbers():
    class Keeps(nn.Module):
        @nn.compact
        def __call__(self):
            key = self.variable("keys", "own", lambda: jax.random.key(3))
            nn.Dense(1)(X)
            return jax.random.uniform(key.value)

    model = known(Keeps(), lambda module: module())
    params, model_state = model.init(KEY)
    assert model_state["keys.own"].dtype == np.uint32
    out, _ = model.call(lambda module: module(), params, model_state, train=True)
    assert out == jax.random.uniform(jax.random.key(3))


def test_parameters_are_not_known_before_a_batch():
    model = LinenModel(Net())
    assert not model.is_known
    with pytest.raises(SpecError) as caught:
        _ = model.abstract_params
    assert str(caught.value) == (
        "model: its parameters are not known yet: Linen makes them for a batch. "
        "Train or evaluate first, or look at abstract_state(source)."
    )


def test_whatever_is_called_a_model_is_split():
    assert isinstance(split_model(None), LinenModel)
    assert isinstance(split_model(nn.Dense(3)), LinenModel)
    assert isinstance(split_model(lambda rngs: nn.Dense(3)), LinenModel)
    assert isinstance(split_model(nnx.Linear(2, 3, rngs=nnx.Rngs(0))), SplitModel)
    assert isinstance(split_model(lambda rngs: nnx.Linear(2, 3, rngs=rngs)), SplitModel)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            nn.Dense,
            "model: got the class Dense. Expected a module of Flax, a function "
            "rngs -> module, or None. Make one: Dense(...).",
        ),
        (
            {"layers": 3},
            "model: got dict. Expected a module of Flax, a function rngs -> module, "
            "or None.",
        ),
    ],
)
def test_what_is_no_model_is_refused(model, message):
    with pytest.raises(SpecError) as caught:
        split_model(model)
    assert str(caught.value) == message
    assert isinstance(caught.value, TypeError)


def test_a_layer_out_of_place_is_recognized_with_or_without_setup():
    for call in (lambda: nn.Dense(3)(X), lambda: nn.Embed(3, 4)(jnp.ones(2, int))):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - Flax's own kinds.
            call()
        assert is_misplaced(caught.value)
    assert not is_misplaced(AttributeError("'Net' object has no attribute 'x'"))


def test_a_target_may_be_a_linen_module_or_a_function_that_returns_one():
    for function in (nn.Dense, lambda features: nn.Dense(features)):
        target = Target.model_validate({"_target_": "my_package.N", "features": 3})
        target.bind(function)
        assert build_model(target, nnx.Rngs(0)) == nn.Dense(3)
