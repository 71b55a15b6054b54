"""The gradient of what is looked up: a row keeps all of it, however often it is used.

Tokens follow Zipf's law, as words do. The expected gradient of a row is NumPy's sum in
float64 over the places that used it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from specflow.model import split_model, zoo
from specflow.model.embedding_lookup import Embed, look_up
from specflow.tf.canned.canned_net import Deep, Wide
from specflow.tf.canned.feature_columns import Categorical, columns_of

ROWS, WIDTH = 50, 4
_RNG = np.random.default_rng(0)
_SHARES = 1 / np.arange(1, ROWS + 1)
TOKENS = _RNG.choice(ROWS, size=(16, 512), p=_SHARES / _SHARES.sum()).astype(np.int32)
# Whole sixteenths in [1, 2): bfloat16 has them all, so that sums alone can be wrong.
WEIGHTS = (_RNG.integers(16, 32, size=(*TOKENS.shape, WIDTH)) / 16).astype(np.float32)


def summed_over_places() -> np.ndarray:
    """NumPy, float64."""
    expected = np.zeros((ROWS, WIDTH))
    np.add.at(expected, TOKENS, WEIGHTS.astype(np.float64))
    return expected


def weighed(x) -> jax.Array:
    return (x.astype(jnp.float32) * WEIGHTS).sum()


def gradient_of_model(model, *, like) -> np.ndarray:
    """Of what `split_model` makes, by the table; the result is of the type `like`."""
    split = split_model(model, compute_dtype="bfloat16")

    def apply(module):
        x = module(jnp.asarray(TOKENS))
        assert x.dtype == like
        return weighed(x)

    if not split.is_known:

        def make(key):
            return split.made(apply, key)

        split.learn(make, jax.eval_shape(make, jax.random.key(0)))
    params, model_state = split.init(jax.random.key(0))

    def loss(params):
        return split.call(apply, params, model_state, train=True)[0]

    (found,) = jax.jit(jax.grad(loss))(params).values()
    return found


class Setup(linen.Module):
    """A table that is looked up, and attended with, and looked up again."""

    def setup(self):
        self.embed = linen.Embed(ROWS, WIDTH)

    def __call__(self, tokens):
        x = self.embed(tokens)
        assert self.embed.attend(x[:1, :1]).dtype == "bfloat16"
        return self.embed(tokens) + 0 * x


class Inline(linen.Module):
    @linen.compact
    def __call__(self, tokens):
        return linen.Embed(ROWS, WIDTH)(tokens)


@pytest.mark.parametrize(
    ("model", "like"),
    [
        (linen.Embed(ROWS, WIDTH), "bfloat16"),
        (Inline(), "bfloat16"),
        (Setup(), "bfloat16"),
        # An NNX embedding always names a type: that of its table.
        (lambda rngs: nnx.Embed(ROWS, WIDTH, rngs=rngs), "float32"),
        (lambda rngs: Embed(ROWS, WIDTH, dtype=jnp.bfloat16, rngs=rngs), "bfloat16"),
    ],
    ids=["Linen", "Linen inline", "Linen in setup", "NNX", "ours"],
)
def test_compute_dtype_over_an_embedding_sums_in_its_parameters_type(model, like):
    found = gradient_of_model(model, like=like)
    np.testing.assert_array_equal(found, summed_over_places())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_what_is_looked_up_is_the_same_and_its_gradient_is_whole(dtype):
    table = jnp.asarray(_RNG.normal(size=(ROWS, WIDTH)), jnp.float32)
    x = look_up(table, TOKENS, dtype)
    np.testing.assert_array_equal(x, np.asarray(table.astype(dtype))[TOKENS])
    found = jax.jit(jax.grad(lambda table: weighed(look_up(table, TOKENS, dtype))))(
        table
    )
    np.testing.assert_array_equal(found, summed_over_places())


def small(name, dtype, **fields):
    """A small model of the zoo, and an input for it."""
    image = jnp.ones((2, 8, 8, 3))
    sizes = {
        "Cnn": ({"widths": [4], "hidden": 4, "outputs": 2, "image": (8, 8, 3)}, image),
        "Decoder": (
            {
                "vocabulary": ROWS,
                "layers": 1,
                "width": 8,
                "heads": 2,
                "kv_heads": 1,
                "head_dim": 4,
                "mlp_width": 8,
            },
            TOKENS,
        ),
        "Linear": ({"inputs": 3, "outputs": 2}, jnp.ones((2, 3))),
        "Mlp": ({"inputs": 3, "hidden": [4], "outputs": 2}, jnp.ones((2, 3))),
        "ResNet": (
            {
                "channels": 3,
                "depth": 18,
                "norm": "group",
                "width": 4,
                "groups": 2,
                "outputs": 2,
            },
            image,
        ),
        "Transformer": (
            {
                "vocabulary": ROWS,
                "layers": 1,
                "width": 8,
                "heads": 2,
                "max_length": TOKENS.shape[1],
            },
            TOKENS,
        ),
        "ViT": (
            {
                "image": (8, 8, 3),
                "patch": 4,
                "layers": 1,
                "width": 8,
                "heads": 2,
                "outputs": 2,
            },
            image,
        ),
        "WideAndDeep": (
            {"inputs": 3, "hidden": [4], "outputs": 2},
            jnp.ones((2, 3)),
        ),
    }
    made, batch = sizes[name]
    typed = {} if name == "Linear" else {"dtype": dtype}  # It is float32 always.
    model = getattr(zoo, name)(**made, **fields, **typed, rngs=nnx.Rngs(0))
    return model, batch


CASES = [
    *((name, {}) for name in zoo.__all__),
    ("Decoder", {"head": "tied"}),
    ("Transformer", {"head": "tied", "positions": "learned"}),
]


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, list | tuple) else [value]:
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from equations(inner)


def sums_in_16_bits(gradient, *args) -> list[str]:
    """The scatters that add up in 16 bits."""
    return [
        str(equation.outvars[0].aval)
        for equation in equations(jax.make_jaxpr(gradient)(*args).jaxpr)
        if equation.primitive.name == "scatter-add"
        and equation.outvars[0].aval.dtype.itemsize < 4
    ]


@pytest.mark.parametrize(("name", "fields"), CASES)
def test_no_model_of_the_zoo_adds_up_rows_in_16_bits(name, fields):
    model, batch = small(name, jnp.bfloat16, **fields)
    graph, params, model_state = nnx.split(model, nnx.Param, ...)

    def loss(params):
        out = nnx.merge(graph, params, model_state)(jnp.asarray(batch))
        return out.astype(jnp.float32).sum()

    assert sums_in_16_bits(jax.grad(loss), params) == []


def test_the_law_would_notice():
    table = jnp.zeros((ROWS, WIDTH))

    def wrong(table):
        return weighed(jnp.take(table.astype(jnp.bfloat16), TOKENS, axis=0))

    assert sums_in_16_bits(jax.grad(wrong), table) == ["bfloat16[50,4]"]
    lost = 1 - jax.jit(jax.grad(wrong))(table)[0] / summed_over_places()[0]
    assert lost.min() > 0.5  # What the law is about.


@pytest.mark.parametrize("net", ["wide", "deep"])
def test_categories_of_canned_models_are_summed_in_float32(net):
    columns = {"c": TOKENS[:, :3], "x": np.ones((len(TOKENS), 2), np.float32)}
    categorical = {"c": Categorical(ROWS, width=WIDTH)}
    module = {
        "wide": Wide(2, categorical),
        "deep": Deep(2, [4], linen.relu, None, False, categorical),
    }[net]
    split = split_model(module, compute_dtype="bfloat16")

    def apply(module):
        given = columns_of({k: jnp.asarray(v) for k, v in columns.items()}, categorical)
        out = module(given, train=True) if net == "deep" else module(given)
        return out.astype(jnp.float32).sum()

    def make(key):
        return split.made(apply, key)

    split.learn(make, jax.eval_shape(make, jax.random.key(0)))
    params, model_state = split.init(jax.random.key(0))

    def loss(params):
        return split.call(apply, params, model_state, train=True)[0]

    assert sums_in_16_bits(jax.grad(loss), params) == []


@pytest.mark.parametrize(
    ("name", "fields"),
    [("Decoder", {}), ("Transformer", {"positions": "learned"})],
)
def test_a_frequent_token_of_a_language_model_keeps_its_gradient(name, fields):
    """The same model in float32 is the reference; before, half of it was lost."""

    def gradient(dtype):
        model, tokens = small(name, dtype, **fields)
        graph, params, model_state = nnx.split(model, nnx.Param, ...)

        def loss(params):
            logits = nnx.merge(graph, params, model_state)(jnp.asarray(tokens))
            chosen = jnp.take_along_axis(logits, tokens[..., None], axis=-1)
            return (jax.nn.logsumexp(logits, axis=-1) - chosen[..., 0]).sum()

        found = jax.jit(jax.grad(loss))(params)["embed"]
        return np.asarray(jax.tree.leaves(found)[0], np.float64)[0]

    found, expected = gradient(jnp.bfloat16), gradient(jnp.float32)
    apart = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    # Two steps of bfloat16's rounding, which are 2**-8 each, after several layers.
    assert apart < 0.03
