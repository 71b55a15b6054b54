"""The zoo computes what its pages say, by NumPy in float64 and by laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from specflow.model.zoo.cnn import Cnn, max_pool
from specflow.model.zoo.linear_model import Linear
from specflow.model.zoo.mlp import Mlp
from specflow.model.zoo.rotary import rotate
from specflow.model.zoo.transformer import Transformer
from specflow.model.zoo.wide_and_deep import WideAndDeep


def values(variable) -> np.ndarray:
    return np.asarray(variable[...], np.float64)


def small_transformer(**fields) -> Transformer:
    sizes = {"vocabulary": 13, "layers": 2, "width": 16, "heads": 2, "max_length": 8}
    return Transformer(**{**sizes, **fields}, rngs=nnx.Rngs(0))


X = np.random.default_rng(0).normal(size=(5, 4, 3))


def test_linear_is_one_affine_map():
    model = Linear(12, 2, rngs=nnx.Rngs(0))
    # NumPy, float64.
    expected = X.reshape(5, 12) @ values(model.head.kernel) + values(model.head.bias)
    np.testing.assert_allclose(model(jnp.asarray(X)), expected, rtol=1e-5, atol=1e-6)


def test_mlp_is_affine_maps_with_relu_between():
    model = Mlp(12, hidden=[7, 6], outputs=3, rngs=nnx.Rngs(0))
    x = X.reshape(5, 12)
    for layer in model.hidden:
        x = np.maximum(x @ values(layer.kernel) + values(layer.bias), 0)
    expected = x @ values(model.head.kernel) + values(model.head.bias)
    np.testing.assert_allclose(model(jnp.asarray(X)), expected, rtol=1e-5, atol=1e-6)


def test_mlp_normalizes_over_the_batch_after_its_activation():
    model = Mlp(
        12,
        hidden=[7],
        outputs=3,
        activation="tanh",
        batch_norm=True,
        rngs=nnx.Rngs(0),
    )
    layer, norm = model.hidden[0], model.norms[0]
    # NumPy, float64; epsilon as in Flax.
    x = np.tanh(X.reshape(5, 12) @ values(layer.kernel) + values(layer.bias))
    x = (x - x.mean(0)) / np.sqrt(x.var(0) + norm.epsilon)
    expected = x @ values(model.head.kernel) + values(model.head.bias)
    np.testing.assert_allclose(model(jnp.asarray(X)), expected, rtol=1e-4, atol=1e-5)


def test_wide_and_deep_is_the_sum_of_its_parts():
    model = WideAndDeep(12, hidden=[7], outputs=3, rngs=nnx.Rngs(0))
    assert not values(model.wide.kernel).any()
    model.wide.kernel.set_value(jnp.ones((12, 3)))
    x = jnp.asarray(X)
    expected = np.asarray(model.deep(x)) + X.reshape(5, 12).sum(-1, keepdims=True)
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-5)


def numpy_conv(x, kernel):
    """3x3 convolution that keeps the size, as its definition says it."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    h, w = x.shape[1:3]
    return sum(
        np.einsum("bhwi,io->bhwo", padded[:, i : i + h, j : j + w], kernel[i, j])
        for i in range(3)
        for j in range(3)
    )


def numpy_pool(x):
    b, h, w, d = x.shape
    out = np.empty((b, -(-h // 2), -(-w // 2), d))
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            window = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            out[:, i, j] = window.max(axis=(1, 2))
    return out


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 3)])
def test_cnn_is_convolutions_with_relu_and_pooling(size):
    model = Cnn((*size, 2), widths=[4, 5], hidden=6, outputs=3, rngs=nnx.Rngs(0))
    image = np.random.default_rng(1).normal(size=(2, *size, 2))
    x = image
    for block in model.blocks:
        block.bias[...] = jnp.linspace(-1, 1, block.bias.shape[0])
        x = numpy_conv(x, values(block.conv.kernel)) + values(block.bias)
        x = numpy_pool(np.maximum(x, 0))
    x = x.reshape(2, -1)
    x = np.maximum(x @ values(model.dense.kernel) + values(model.dense.bias), 0)
    expected = x @ values(model.head.kernel) + values(model.head.bias)
    np.testing.assert_allclose(
        model(jnp.asarray(image)), expected, rtol=1e-4, atol=1e-5
    )


def test_cnn_without_a_dense_layer():
    model = Cnn((4, 4, 1), widths=[2], hidden=0, outputs=3, rngs=nnx.Rngs(0))
    assert model(jnp.ones((2, 4, 4, 1))).shape == (2, 3)


@settings(max_examples=20)
@given(
    hnp.arrays(
        np.float32,
        st.sampled_from([(2, 4, 4, 2), (1, 3, 5, 1), (1, 1, 1, 1), (1, 2, 1, 3)]),
        # XLA takes numbers below the normal ones for zero.
        elements=st.floats(-1e3, 1e3, width=32, allow_subnormal=False),
    )
)
def test_max_pool_keeps_the_highest_of_each_window(x):
    np.testing.assert_array_equal(max_pool(jnp.asarray(x)), numpy_pool(x))


def test_max_pool_gradient_goes_to_the_highest_alone():
    x = jnp.arange(15.0).reshape(1, 3, 5, 1)
    grad = jax.grad(lambda x: max_pool(x).sum())(x)
    # By hand: the last row and column of each window.
    expected = np.zeros((3, 5))
    expected[np.ix_([1, 2], [1, 3, 4])] = 1
    np.testing.assert_array_equal(grad[0, :, :, 0], expected)


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_no_token_sees_a_later_one(positions):
    model = small_transformer(positions=positions)
    tokens = jax.random.randint(jax.random.key(0), (3, 8), 0, 13)
    changed = tokens.at[:, 5].set((tokens[:, 5] + 1) % 13)
    one, two = model(tokens), model(changed)
    np.testing.assert_allclose(one[:, :5], two[:, :5], rtol=1e-5, atol=1e-6)
    assert (np.abs(one - two)[:, 5:].max(axis=-1) > 1e-5).all()


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_order_matters_to_every_form_of_positions(positions):
    model = small_transformer(positions=positions)
    one = model(jnp.array([[1, 2, 3, 4]]))[:, -1]
    two = model(jnp.array([[2, 1, 3, 4]]))[:, -1]
    assert np.abs(one - two).max() > 1e-6


def test_a_transformer_block_computes_what_it_says():
    model = small_transformer(layers=1, heads=1, positions="learned", head="tied")
    tokens = np.array([[3, 1, 4, 1, 5]])
    block, d = model.blocks[0], 16

    def norm(layer, x):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return x * values(layer.scale) + values(layer.bias)

    # NumPy, float64: Vaswani et al., 2017, pre-norm; gelu by its tanh form.
    x = values(model.embed.embedding)[tokens[0]] + values(model.position.embedding)[:5]
    q, k, v = np.split(norm(block.attention_norm, x) @ values(block.qkv.kernel), 3, -1)
    scores = np.where(np.tri(5, dtype=bool), q @ k.T / np.sqrt(d), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    x = x + weights @ v @ values(block.out.kernel)
    h = norm(block.mlp_norm, x) @ values(block.up.kernel) + values(block.up.bias)
    h = h / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
    x = x + h @ values(block.down.kernel) + values(block.down.bias)
    expected = norm(model.norm, x) @ values(model.embed.embedding).T
    np.testing.assert_allclose(
        model(jnp.asarray(tokens))[0], expected, rtol=1e-4, atol=1e-6
    )


@settings(max_examples=20)
@given(a=st.integers(0, 4), b=st.integers(0, 4), shift=st.integers(0, 4))
def test_rotated_products_depend_on_the_distance_alone(a, b, shift):
    q, k = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)

    def turned(x, place):
        return rotate(jnp.broadcast_to(x, (1, 9, 1, 6)))[0, place, 0]

    near = turned(q, a) @ turned(k, b)
    far = turned(q, a + shift) @ turned(k, b + shift)
    np.testing.assert_allclose(near, far, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        jnp.linalg.norm(turned(q, a)), np.linalg.norm(q), rtol=1e-5
    )


def test_a_sequence_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="9 tokens are longer than max_length=8"):
        small_transformer()(jnp.zeros((1, 9), int))


def test_a_tied_head_has_no_weights_of_its_own():
    def paths(**fields):
        state = nnx.state(small_transformer(**fields), nnx.Param)
        return {".".join(map(str, path)) for path, _ in nnx.to_flat_state(state)}

    assert paths(head="untied") - paths(head="tied") == {"head.kernel"}
    assert paths(positions="learned") - paths() == {"position.embedding"}
