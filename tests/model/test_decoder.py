"""The decoder computes what its page says: by NumPy in float64, and by laws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import export

from specflow.diagnostics.errors import ConfigError
from specflow.model import SplitModel
from specflow.model.zoo.decoder import Decoder
from specflow.model.zoo.rotary import rotate
from specflow.model.zoo.stack import POLICIES

SIZES = {
    "vocabulary": 13,
    "layers": 2,
    "width": 16,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 6,
    "mlp_width": 20,
}
TOKENS = np.random.default_rng(0).integers(0, 13, (3, 8))


def small(**fields) -> Decoder:
    return Decoder(**{**SIZES, **fields}, rngs=nnx.Rngs(0))


def values(module) -> dict[str, np.ndarray]:
    state = nnx.to_flat_state(nnx.state(module, nnx.Param))
    return {
        ".".join(map(str, path)): np.asarray(leaf[...], np.float64)
        for path, leaf in state
    }


def numpy_forward(weights, tokens, *, base=10_000.0):
    """The formulas of the papers that `Decoder` names, one token at a time, float64."""

    def norm(x, scale):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * scale

    def turned(x, place):
        """Pairs (i, i + d/2) as complex numbers, turned by place * base^(-2i/d)."""
        half = x.shape[-1] // 2
        angle = place * base ** (-2 * np.arange(half) / (2 * half))
        z = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angle)
        return np.concatenate([z.real, z.imag], -1)

    layers, _, heads, d = weights["blocks.query"].shape
    group = heads // weights["blocks.key"].shape[2]
    logits = []
    for row in tokens:
        x = weights["embed"][row]
        for layer in range(layers):
            w = {
                name.removeprefix("blocks."): value[layer]
                for name, value in weights.items()
                if name.startswith("blocks.")
            }
            h = norm(x, w["attention_norm.scale"])
            mixed = np.zeros((len(row), heads, d))
            for head in range(heads):
                q = h @ w["query"][:, head]
                k, v = (h @ w[name][:, head // group] for name in ("key", "value"))
                q, k = (
                    np.stack([turned(x, t) for t, x in enumerate(y)]) for y in (q, k)
                )
                for t in range(len(row)):
                    weight = np.exp(k[: t + 1] @ q[t] / np.sqrt(d))
                    mixed[t, head] = weight @ v[: t + 1] / weight.sum()
            x = x + np.einsum("thk,hkd->td", mixed, w["out"])
            h = norm(x, w["mlp_norm.scale"])
            gate = h @ w["gate"]
            x = x + (gate / (1 + np.exp(-gate)) * (h @ w["up"])) @ w["down"]
        x = norm(x, weights["norm.scale"])
        logits.append(x @ weights.get("head", weights["embed"].T))
    return np.stack(logits)


@pytest.mark.parametrize(
    "fields",
    [{}, {"head": "tied", "kv_heads": 1, "rope_base": 50.0}, {"kv_heads": 4}],
    ids=["grouped", "multi-query, tied, another base", "multi-head"],
)
def test_the_logits_are_those_of_the_formulas(fields):
    model = small(**fields)
    weights = values(model)
    # At their initial values norms do nothing that could be seen.
    rng = np.random.default_rng(1)
    scales = {name: rng.normal(1, 0.3, x.shape) for name, x in weights.items()}
    weights |= {name: x for name, x in scales.items() if name.endswith("scale")}
    # The tenfold weights make the logits large enough to be compared.
    weights = {k: v if k.endswith("scale") else 3 * v for k, v in weights.items()}
    split = SplitModel(model)
    params = {name: jnp.asarray(x, jnp.float32) for name, x in weights.items()}
    found = split.merge(params, {}, train=True)(jnp.asarray(TOKENS))
    expected = numpy_forward(weights, TOKENS, base=fields.get("rope_base", 10_000.0))
    assert np.abs(expected).max() > 0.5
    assert found.dtype == jnp.float32
    # float32, sums of up to 24 terms, two layers.
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


@functools.cache
def gradients(**fields):
    """Loss and gradients of the same weights and batch."""
    model = SplitModel(functools.partial(_made, tuple(fields.items())))
    params, model_state = model.init(jax.random.key(0))

    def loss(params):
        logits = model.merge(params, model_state, train=True)(
            jnp.asarray(TOKENS[:, :-1])
        )
        return optax.softmax_cross_entropy_with_integer_labels(
            logits, jnp.asarray(TOKENS[:, 1:])
        ).mean()

    return jax.jit(jax.value_and_grad(loss))(params)


def _made(fields, rngs):
    return Decoder(**{**SIZES, **dict(fields)}, rngs=rngs)


@pytest.mark.parametrize("remat", list(POLICIES))
def test_every_remat_policy_gives_the_same_gradients(remat):
    _same(gradients(remat=remat), gradients())


def test_scanned_layers_give_what_unrolled_ones_give():
    _same(gradients(unroll=2), gradients())


def test_layers_one_after_another_give_what_scanned_ones_give():
    model = small()
    x = model.embed[...][jnp.asarray(TOKENS)]
    for layer in range(SIZES["layers"]):
        graphdef, state = nnx.split(model.blocks)
        x = nnx.merge(graphdef, jax.tree.map(lambda a, i=layer: a[i], state))(x)
    logits = model.norm(x) @ model.head[...]
    np.testing.assert_allclose(model(jnp.asarray(TOKENS)), logits, rtol=1e-4, atol=1e-6)


def _same(one, two):
    # float32: another order of the same sums.
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), one, two
    )


def test_the_model_is_traced_once_whatever_its_depth():
    """As many equations for 2 layers as for 20."""

    def equations(layers):
        split = SplitModel(lambda rngs: _made((("layers", layers),), rngs))
        function = lambda p: split.merge(p, {}, train=True)(jnp.asarray(TOKENS))  # noqa: E731
        jaxpr = jax.make_jaxpr(function)(split.abstract_params)
        return str(jaxpr).count("\n")

    assert equations(2) == equations(20)


def test_shared_key_heads_are_repeated_heads():
    """Grouped-query attention, by its definition: a key head serves a group."""
    grouped, plain = small(kv_heads=2), small(kv_heads=4)
    weights = SplitModel(grouped).init(jax.random.key(0))[0]
    repeated = {
        name: jnp.repeat(x, 2, axis=2) if name in {"blocks.key", "blocks.value"} else x
        for name, x in weights.items()
    }
    model = SplitModel(plain).merge(repeated, {}, train=True)
    tokens = jnp.asarray(TOKENS)
    np.testing.assert_allclose(grouped(tokens), model(tokens), rtol=1e-5, atol=1e-6)


@functools.cache
def jitted():
    model = SplitModel(small())
    params, model_state = model.init(jax.random.key(0))
    return jax.jit(lambda tokens: model.merge(params, model_state, train=False)(tokens))


@settings(max_examples=25)
@given(
    place=st.integers(1, 7),
    later=st.lists(st.integers(0, 12), min_size=8, max_size=8),
)
def test_no_token_sees_a_later_one(place, later):
    changed = np.where(np.arange(8) >= place, later, TOKENS[:1])
    one, two = jitted()(TOKENS[:1]), jitted()(changed)
    np.testing.assert_array_equal(one[:, :place], two[:, :place])


@settings(max_examples=25)
@given(
    places=st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 20)),
    base=st.sampled_from([100.0, 10_000.0, 500_000.0]),
)
def test_rotated_products_depend_on_the_distance_alone(places, base):
    a, b, shift = places
    q, k = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)

    def turned(x, place):
        return rotate(jnp.broadcast_to(x, (1, 64, 1, 8)), base=base)[0, place, 0]

    near = turned(q, a) @ turned(k, b)
    far = turned(q, a + shift) @ turned(k, b + shift)
    # Angles of up to 60 in float32 are known to 4e-6.
    np.testing.assert_allclose(near, far, rtol=1e-4, atol=5e-5)


@pytest.mark.parametrize(("dtype", "bits"), [(jnp.bfloat16, 8), (jnp.float16, 11)])
def test_16_bits_are_close_to_float32(dtype, bits):
    full, half = small(), small(dtype=dtype)
    tokens = jnp.asarray(TOKENS)
    one, two = full(tokens), half(tokens)
    assert two.dtype == jnp.float32
    # Each of some ten roundings on the way to a logit may be off by half a bit of what
    # is rounded, and some of them add up.
    error = np.abs(one - two).max() / np.abs(one).max()
    assert 1e-5 < error < 10 * 2.0 ** -(bits + 1) * 2


def test_parameters_are_float32_and_know_their_dimensions():
    found = {
        ".".join(map(str, path)): leaf.get_metadata()["out_sharding"]
        for path, leaf in nnx.to_flat_state(nnx.state(small(dtype=jnp.bfloat16)))
    }
    heads, keys = ("heads", "head_dim"), ("kv_heads", "head_dim")
    assert found == {
        "embed": ("vocab", "embed"),
        "blocks.attention_norm.scale": ("layers", "embed"),
        "blocks.query": ("layers", "embed", *heads),
        "blocks.key": ("layers", "embed", *keys),
        "blocks.value": ("layers", "embed", *keys),
        "blocks.out": ("layers", *heads, "embed"),
        "blocks.mlp_norm.scale": ("layers", "embed"),
        "blocks.gate": ("layers", "embed", "mlp"),
        "blocks.up": ("layers", "embed", "mlp"),
        "blocks.down": ("layers", "mlp", "embed"),
        "norm.scale": ("embed",),
        "head": ("embed", "vocab"),
    }
    dtypes = {array.dtype for array in SplitModel(small()).abstract_params.values()}
    assert dtypes == {jnp.dtype("float32")}
    assert "head" not in values(small(head="tied"))


def test_initial_values_have_the_deviations_that_the_page_says():
    model = Decoder(
        **{**SIZES, "layers": 8, "width": 64, "mlp_width": 128, "head_dim": 16},
        rngs=nnx.Rngs(0),
    )
    deviations = {name: x.std() for name, x in values(model).items()}
    less = (2 * 8) ** -0.5
    expected = {
        "embed": 0.02,
        "head": 0.02,
        "blocks.query": 64**-0.5,
        "blocks.gate": 64**-0.5,
        "blocks.out": 64**-0.5 * less,
        "blocks.down": 128**-0.5 * less,
    }
    for name, deviation in expected.items():
        # A thousand draws and more: their deviation is known to 3 %.
        assert deviations[name] == pytest.approx(deviation, rel=0.1), name
    first, second = values(model)["blocks.query"][:2]
    assert np.abs(first - second).max() > 0.1


def test_it_is_exported_for_every_platform_with_any_number_of_rows():
    split = SplitModel(small())
    params, model_state = split.init(jax.random.key(0))
    (b,) = export.symbolic_shape("b")
    exported = export.export(
        jax.jit(lambda tokens: split.merge(params, model_state, train=False)(tokens)),
        platforms=["cpu", "cuda", "tpu"],
    )(jax.ShapeDtypeStruct((b, 8), jnp.int32))
    answer = exported.call(jnp.asarray(TOKENS, jnp.int32))
    np.testing.assert_allclose(answer, jitted()(TOKENS), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "length", "message"),
    [
        ({"attention": "splash"}, 8, "a sequence has 8 tokens, no multiple of 128"),
        ({"attention": "cudnn"}, 8, "the program is for cpu"),
    ],
)
def test_a_kernel_that_does_not_fit_is_refused(fields, length, message):
    with pytest.raises(ConfigError) as raised:
        small(**fields)(jnp.zeros((1, length), int))
    (diagnostic,) = raised.value.diagnostics
    assert str(diagnostic) == (
        f"model.attention: got {fields['attention']!r}, but {message}. "
        "Try model.attention=auto."
    )
