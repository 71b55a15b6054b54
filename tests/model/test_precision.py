"""Mixed precision over layers of NNX and of Linen, wherever they are made.

Expected values are those of Flax's own layers that were given the type as `dtype`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from specflow.model import split_model

X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6)


class Net(nnx.Module):
    """Layers, a layer with a type of its own, and arithmetic outside of layers."""

    def __init__(self, rngs, dtype=None):
        self.norm = nnx.BatchNorm(6, dtype=dtype, rngs=rngs)
        self.hidden = nnx.List([nnx.Linear(6, 8, dtype=dtype, rngs=rngs)])
        self.attention = nnx.MultiHeadAttention(
            2, 8, 8, decode=False, dtype=dtype, rngs=rngs
        )
        self.out = nnx.Linear(8, 3, dtype=jnp.float32, rngs=rngs)

    def __call__(self, x):
        x = self.hidden[0](self.norm(x))
        x = x + self.attention(x[None])[0]
        return {"hidden": x, "out": self.out(x)}


class LinenNet(linen.Module):
    """The same with Linen: a layer of setup, and one made as it is called."""

    dtype: object = None

    def setup(self):
        self.norm = linen.BatchNorm(dtype=self.dtype, use_running_average=False)
        self.both = linen.Sequential(
            [linen.Dense(8, dtype=self.dtype), linen.LayerNorm(dtype=self.dtype)]
        )

    def __call__(self, x):
        return {"hidden": self.both(self.norm(x))}


def inline(module):
    x = linen.Dense(8)(X)
    return {"hidden": linen.LayerNorm()(x), "out": linen.Dense(3, dtype="float32")(x)}


def known(model, function):
    """The model, after it saw a function if it has to."""
    if not model.is_known:

        def make(key):
            return model.made(function, key)

        model.learn(make, jax.eval_shape(make, jax.random.key(0)))
    return model


def initial(model):
    key = jax.random.key(0)
    return model.init(key) if model.is_built else jax.jit(model.init)(key)


def called(model, function):
    known(model, function)
    params, model_state = initial(model)
    assert {str(value.dtype) for value in params.values()} == {"float32"}
    out, after = jax.jit(lambda *state: model.call(function, *state, train=True))(
        params, model_state
    )
    form = {name: (value.shape, value.dtype) for name, value in model_state.items()}
    assert {name: (value.shape, value.dtype) for name, value in after.items()} == form
    return out


@pytest.mark.parametrize(
    "make",
    [
        lambda dtype: lambda rngs: Net(rngs, dtype),
        lambda dtype: Net(nnx.Rngs(0), dtype),
        lambda dtype: LinenNet(dtype),
    ],
    ids=["NNX, built here", "NNX, given", "Linen"],
)
def test_a_model_computes_as_if_each_layer_had_been_given_the_type(make):
    out = called(split_model(make(None), compute_dtype="bfloat16"), lambda net: net(X))
    expected = called(split_model(make("bfloat16")), lambda net: net(X))
    assert out["hidden"].dtype == "bfloat16"
    jax.tree.map(np.testing.assert_array_equal, out, expected)


def test_layers_made_inline_compute_in_it_and_those_with_their_own_do_not():
    out = called(split_model(None, compute_dtype="bfloat16"), inline)
    assert (out["hidden"].dtype, out["out"].dtype) == ("bfloat16", "float32")


def test_without_it_everything_is_as_flax_has_it():
    out = called(split_model(lambda rngs: Net(rngs)), lambda net: net(X))
    assert {str(value.dtype) for value in out.values()} == {"float32"}


def test_a_module_that_is_given_stays_as_it_is():
    net = Net(nnx.Rngs(0))
    called(split_model(net, compute_dtype="bfloat16"), lambda net: net(X))
    assert net.hidden[0].dtype is None
    module = linen.Dense(8)
    called(split_model(module, compute_dtype="bfloat16"), lambda module: module(X))
    assert module.dtype is None


def test_a_linen_module_behind_the_bridge_of_nnx_computes_in_it():
    bridged = nnx.bridge.ToNNX(linen.Dense(3), rngs=nnx.Rngs(0)).lazy_init(X)
    model = split_model(bridged, compute_dtype="bfloat16")
    assert called(model, lambda net: {"out": net(X)})["out"].dtype == "bfloat16"


def test_gradients_are_those_of_float32_parameters():
    model = known(
        split_model(lambda rngs: Net(rngs), compute_dtype="bfloat16"),
        lambda net: net(X),
    )
    params, model_state = model.init(jax.random.key(0))

    def loss(params):
        out, _ = model.call(lambda net: net(X), params, model_state, train=True)
        return out["out"].sum()

    grads = jax.eval_shape(jax.grad(loss), params)
    assert {str(grad.dtype) for grad in grads.values()} == {"float32"}
