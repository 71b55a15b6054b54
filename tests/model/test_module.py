"""Flat state at the rim, a module in the trace: nothing may be lost in between."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from specflow.diagnostics.errors import SpecError
from specflow.model.nnx_module import SplitModel


class Net(nnx.Module):
    """Everything that makes a state hard: statistics, dropout, a list, a constant."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.first = nnx.Linear(3, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(2)])
        self.offset = jnp.ones(4)

    def __call__(self, x):
        x = self.dropout(self.norm(self.first(x))) + self.offset[None]
        for layer in self.layers:
            x = layer(x)
        return x


@pytest.fixture(scope="module")
def model() -> SplitModel:
    return SplitModel(lambda rngs: Net(rngs=rngs))


X = jax.random.normal(jax.random.key(7), (16, 3))


def step(model: SplitModel):
    def step(state, x):
        params, model_state = state

        def loss(params):
            module = model.merge(params, model_state, train=True)
            return (module(x) ** 2).mean(), model.rest_of(module)

        (value, model_state), grads = jax.value_and_grad(loss, has_aux=True)(params)
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)
        return (params, model_state), value

    return step


def test_paths_are_dotted_and_parameters_are_apart_from_the_rest(model):
    assert sorted(model.abstract_params) == [
        "first.bias",
        "first.kernel",
        "layers.0.bias",
        "layers.0.kernel",
        "layers.1.bias",
        "layers.1.kernel",
        "norm.bias",
        "norm.scale",
    ]
    assert sorted(model.abstract_model_state) == [
        "dropout.rngs.count",
        "dropout.rngs.key",
        "norm.mean",
        "norm.var",
        "offset",
    ]


def test_learning_the_structure_computes_nothing():
    def build(rngs):
        module = Net(rngs=rngs)
        assert isinstance(module.first.kernel.get_value(), jax.core.Tracer)
        return module

    SplitModel(build)


def test_init_gives_the_announced_arrays_and_nothing_but_plain_ones(model):
    params, model_state = jax.jit(model.init)(jax.random.key(0))
    assert jax.eval_shape(lambda: (params, model_state)) == (
        model.abstract_params,
        model.abstract_model_state,
    )
    assert model_state["dropout.rngs.key"].dtype == np.uint32


def test_initial_values_are_those_of_the_module_built_with_this_key(model):
    params, model_state = model.init(jax.random.key(3))
    net = Net(rngs=nnx.Rngs(jax.random.key(3)))
    np.testing.assert_array_equal(params["first.kernel"], net.first.kernel[...])
    np.testing.assert_array_equal(
        model_state["dropout.rngs.key"], jax.random.key_data(net.dropout.rngs.key[...])
    )


def test_init_places_its_arrays_by_out_shardings(model):
    mesh = jax.make_mesh((4,), ("data",), devices=jax.devices()[:4])
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    shardings = (
        {name: split if a.shape[0] == 4 else whole for name, a in part.items()}
        for part in [model.abstract_params]
    )
    rest_shardings = dict.fromkeys(model.abstract_model_state, whole)
    params, _ = jax.jit(model.init, out_shardings=(*shardings, rest_shardings))(
        jax.random.key(0)
    )
    assert params["layers.0.kernel"].sharding == split
    assert params["first.kernel"].sharding == whole


def test_merge_answers_as_the_module_itself_in_eval_mode(model):
    net = Net(rngs=nnx.Rngs(jax.random.key(3)))
    net.eval()
    params, model_state = model.init(jax.random.key(3))
    apply = jax.jit(lambda p, r, x: model.merge(p, r, train=False)(x))
    np.testing.assert_allclose(
        apply(params, model_state, X), net(X), rtol=1e-5, atol=1e-6
    )


def test_a_step_under_grad_and_jit_updates_statistics_and_counters(model):
    state = model.init(jax.random.key(0))
    (_, model_state), _ = jax.jit(step(model))(state, X)
    first = np.asarray(state[0]["first.kernel"], np.float64)
    mean = (np.asarray(X, np.float64) @ first).mean(0)
    # NumPy: running mean = 0.99 x 0 + 0.01 x batch mean (momentum of nnx.BatchNorm).
    np.testing.assert_allclose(
        model_state["norm.mean"], 0.01 * mean, rtol=1e-4, atol=1e-7
    )
    assert model_state["dropout.rngs.count"] == 1
    assert set(model_state) == set(model.abstract_model_state)


def test_two_traces_and_a_scan_give_the_same_steps(model):
    """Variables that remembered their trace raised in the second one."""
    state = model.init(jax.random.key(0))
    stepped, losses = state, []
    for _ in range(3):
        stepped, loss = step(model)(stepped, X)
        losses.append(loss)
    scanned, scanned_losses = jax.jit(
        lambda state: jax.lax.scan(
            step(model), state, jnp.broadcast_to(X, (3, *X.shape))
        )
    )(state)
    np.testing.assert_allclose(scanned_losses, losses, rtol=1e-4)
    assert scanned[1]["dropout.rngs.count"] == 3


def test_dropout_differs_from_step_to_step_and_is_bitwise_repeatable(model):
    params, model_state = model.init(jax.random.key(0))

    @jax.jit
    def forward(model_state):
        module = model.merge(params, model_state, train=True)
        return module.dropout(jnp.ones((8, 8))), model.rest_of(module)

    one, after_one = forward(model_state)
    two, _ = forward(after_one)
    again, _ = forward(after_one)
    assert (one != two).any()
    np.testing.assert_array_equal(two, again)


def test_eval_mode_neither_drops_nor_counts(model):
    params, model_state = model.init(jax.random.key(0))
    module = model.merge(params, model_state, train=False)
    module(X)
    after = model.rest_of(module)
    for name, value in model_state.items():
        np.testing.assert_array_equal(after[name], value)


@pytest.mark.parametrize("train", [True, False])
def test_a_module_without_modes_takes_both(train):
    model = SplitModel(lambda rngs: nnx.Linear(3, 2, rngs=rngs))
    params, model_state = model.init(jax.random.key(0))
    assert model_state == {}
    assert model.merge(params, model_state, train=train)(X).shape == (16, 2)


def test_a_module_that_is_built_keeps_its_values_and_its_memory():
    net = Net(rngs=nnx.Rngs(5))
    model = SplitModel(net)
    params, model_state = model.init(jax.random.key(0))
    np.testing.assert_array_equal(params["first.kernel"], net.first.kernel[...])
    jax.jit(lambda state: state, donate_argnums=0)((params, model_state))
    assert not net.first.kernel[...].is_deleted()
    assert model_state["dropout.rngs.key"].dtype == np.uint32


def test_other_random_generators_are_wrapped_as_what_they_were():
    model = SplitModel(lambda rngs: Net(rngs=rngs))
    rbg = SplitModel(Net(rngs=nnx.Rngs(jax.random.key(0, impl="rbg"))))
    assert rbg.abstract_model_state["dropout.rngs.key"].shape == (4,)
    assert model.abstract_model_state["dropout.rngs.key"].shape == (2,)
    params, model_state = rbg.init(jax.random.key(0))
    assert rbg.merge(params, model_state, train=True)(X).shape == (16, 4)


def test_variables_that_a_call_adds_do_not_change_the_form_of_the_state():
    class Keeper(nnx.Module):
        def __init__(self, *, rngs):
            self.linear = nnx.Linear(3, 2, rngs=rngs)

        def __call__(self, x):
            x = self.linear(x)
            self.seen = nnx.Intermediate(x)
            return x

    model = SplitModel(lambda rngs: Keeper(rngs=rngs))
    module = model.merge(*model.init(jax.random.key(0)), train=True)
    module(X)
    assert model.rest_of(module) == {}


def test_tied_weights_are_one_parameter():
    class Tied(nnx.Module):
        def __init__(self, *, rngs):
            self.embed = nnx.Embed(5, 4, rngs=rngs)
            self.head = self.embed

        def __call__(self, tokens):
            return self.head.attend(self.embed(tokens))

    model = SplitModel(lambda rngs: Tied(rngs=rngs))
    assert list(model.abstract_params) == ["embed.embedding"]
    module = model.merge(*model.init(jax.random.key(0)), train=False)
    assert module(jnp.array([1, 2])).shape == (2, 5)


def test_a_builder_of_something_else_is_refused():
    with pytest.raises(SpecError) as caught:
        SplitModel(lambda rngs: {"kernel": 1})
    assert str(caught.value) == (
        "model: the builder returned builtins.dict. Expected a flax.nnx.Module."
    )
    assert isinstance(caught.value, TypeError)


def test_two_variables_with_one_dotted_path_are_refused():
    class Dotted(nnx.Module):
        def __init__(self):
            self.a = nnx.Dict(b=nnx.Param(jnp.zeros(1)))
            setattr(self, "a.b", nnx.Param(jnp.zeros(1)))

    with pytest.raises(SpecError) as caught:
        SplitModel(lambda rngs: Dotted())
    assert str(caught.value) == (
        "model: two variables have the path a.b: ('a', 'b') and ('a.b',). "
        "Take the dots out of the names."
    )
