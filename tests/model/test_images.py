"""ResNet and ViT compute what their pages say, by plain code beside them."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from specflow.config.sections.image_models import ViTConfig
from specflow.diagnostics.errors import ConfigError
from specflow.model import SplitModel, build_model
from specflow.model.zoo.resnet import DEPTHS, Block, ResNet, convolution, normalization
from specflow.model.zoo.vit import ViT, sincos

IMAGE = np.random.default_rng(0).normal(size=(3, 8, 8, 2))


def vit(**fields) -> SplitModel:
    sizes = {"patch": 4, "layers": 2, "width": 16, "heads": 2, "outputs": 5}
    return SplitModel(lambda rngs: ViT((8, 8, 2), **{**sizes, **fields}, rngs=rngs))


def weights(model) -> dict[str, np.ndarray]:
    """Values of NumPy's, which are nowhere one or zero, as norms and biases begin."""
    rng = np.random.default_rng(1)
    found = {}
    for name, array in model.abstract_params.items():
        is_kernel = "kernel" in name and len(array.shape) == 4
        spread = math.prod(array.shape[:3]) ** -0.5 if is_kernel else 0.2
        found[name] = name.endswith("scale") + rng.normal(0, spread, array.shape)
    return found


def at_first(model) -> dict[str, jax.Array]:
    """Means of zero and variances of one, as batch statistics begin."""
    return {
        name: jnp.full(array.shape, float(name.endswith("var")))
        for name, array in model.abstract_model_state.items()
    }


def applied(model, params, image):
    params = {name: jnp.asarray(value, jnp.float32) for name, value in params.items()}
    answers = jax.jit(
        lambda params, x: model.merge(params, at_first(model), train=False)(x)
    )
    return answers(params, jnp.asarray(image, jnp.float32))


@pytest.mark.parametrize(
    "fields", [{}, {"pool": "mean", "positions": "sincos"}], ids=["cls", "mean"]
)
def test_a_vit_computes_what_the_paper_says(fields):
    """NumPy, float64: Dosovitskiy et al., 2021, equations 1 to 4."""
    model = vit(**fields)
    w = weights(model)

    def norm(x, name, layer=...):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return x * w[f"{name}.scale"][layer] + w[f"{name}.bias"][layer]

    def gelu(x):
        return x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2

    logits = []
    for image in IMAGE:
        corners = [(0, 0), (0, 4), (4, 0), (4, 4)]
        patches = np.stack([image[i : i + 4, j : j + 4].ravel() for i, j in corners])
        x = patches @ w["patches.kernel"] + w["patches.bias"]
        if not fields:
            x = np.concatenate([w["cls"][None], x]) + w["position"]
        else:
            x = x + np.asarray(sincos(2, 2, 16), np.float64)
        for layer in range(2):
            h = norm(x, "blocks.attention_norm", layer)
            qkv = np.einsum("td,dshk->sthk", h, w["blocks.qkv.kernel"][layer])
            q, k, v = qkv + w["blocks.qkv.bias"][layer][:, None]
            scores = np.exp(np.einsum("qhk,thk->hqt", q, k) / np.sqrt(8))
            scores /= scores.sum(-1, keepdims=True)
            mixed = np.einsum("hqt,thk->qhk", scores, v)
            x = x + np.einsum("thk,hkd->td", mixed, w["blocks.out.kernel"][layer])
            x = x + w["blocks.out.bias"][layer]
            h = norm(x, "blocks.mlp_norm", layer)
            h = gelu(h @ w["blocks.up.kernel"][layer] + w["blocks.up.bias"][layer])
            x = x + h @ w["blocks.down.kernel"][layer] + w["blocks.down.bias"][layer]
        x = norm(x, "norm")
        x = x.mean(0) if fields else x[0]
        logits.append(x @ w["head.kernel"] + w["head.bias"])
    # float32, two layers.
    np.testing.assert_allclose(
        applied(model, w, IMAGE), np.stack(logits), rtol=2e-4, atol=2e-4
    )


def test_sines_and_cosines_are_those_of_row_and_column():
    # By hand: width 8 has frequencies 1 and 1/100; rows first.
    place = sincos(2, 3, 8)[5]
    row, column = np.array([1, 0.01]), np.array([2, 0.02])
    expected = [*np.sin(row), *np.cos(row), *np.sin(column), *np.cos(column)]
    np.testing.assert_allclose(place, expected, rtol=1e-5)


@pytest.fixture
def shallow(monkeypatch):
    """Nets of six blocks, which are compiled in a moment."""
    for depth in DEPTHS:
        monkeypatch.setitem(DEPTHS, depth, (1, 2, 1, 1))


def test_depths_count_the_layers_with_weights():
    """Stem, head, and two or three convolutions a block: He et al., 2015, table 1."""
    for depth, blocks in DEPTHS.items():
        assert depth == 2 + (3 if depth >= 50 else 2) * sum(blocks)


def resnet(**fields) -> SplitModel:
    sizes = {"depth": 18, "width": 4, "stem": "small", "outputs": 3, "groups": 2}
    return SplitModel(lambda rngs: ResNet(2, **{**sizes, **fields}, rngs=rngs))


def convolved(x, kernel, stride):
    """By its definition, padded by half the kernel on every side."""
    side = kernel.shape[0]
    x = np.pad(x, ((0, 0), *[(side // 2,) * 2] * 2, (0, 0)))
    places = range(0, x.shape[1] - side + 1, stride)
    return np.stack(
        [
            np.stack(
                [
                    np.einsum("bijc,ijcd->bd", x[:, i : i + side, j : j + side], kernel)
                    for j in places
                ],
                axis=1,
            )
            for i in places
        ],
        axis=1,
    )


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize(
    ("version", "depth", "kind"), [("v1.5", 50, "batch"), ("v2", 18, "group")]
)
def test_a_resnet_computes_what_the_papers_say(version, depth, kind):
    """NumPy, float64: He et al., 2015, table 1; 2016, figure 4 (e) for v2."""
    model = resnet(version=version, depth=depth, norm=kind)
    w = weights(model)

    def normed(x, name):
        # Statistics of a batch norm begin with mean 0 and variance 1.
        mean, variance = 0.0, 1.0
        if kind == "group":
            b, side, _, channels = x.shape
            groups = x.reshape(b, side, side, 2, channels // 2)
            mean = groups.mean((1, 2, 4)).repeat(channels // 2, -1)[:, None, None]
            variance = groups.var((1, 2, 4)).repeat(channels // 2, -1)[:, None, None]
        x = (x - mean) / np.sqrt(variance + 1e-5)
        return x * w[f"{name}.scale"] + w[f"{name}.bias"]

    def relu(x):
        return np.maximum(x, 0)

    first = version == "v2"
    x = convolved(IMAGE, w["stem_convolution.kernel"], 1)
    x = x if first else relu(normed(x, "stem_norm"))
    strided = 1 if depth == 50 else 0
    block = 0
    for stage, count in enumerate(DEPTHS[depth]):
        for place in range(count):
            name, stride = f"blocks.{block}", 2 if stage and not place else 1
            shortcut = h = x
            for layer in range(3 if depth == 50 else 2):
                kernel = w[f"{name}.convolutions.{layer}.kernel"]
                step = stride if layer == strided else 1
                if first:
                    h = relu(normed(h, f"{name}.norms.{layer}"))
                    if not layer and f"{name}.shortcut.kernel" in w:
                        shortcut = convolved(h, w[f"{name}.shortcut.kernel"], stride)
                    h = convolved(h, kernel, step)
                else:
                    h = relu(h) if layer else h
                    h = normed(convolved(h, kernel, step), f"{name}.norms.{layer}")
            if not first and f"{name}.shortcut.kernel" in w:
                shortcut = convolved(x, w[f"{name}.shortcut.kernel"], stride)
                shortcut = normed(shortcut, f"{name}.shortcut_norm")
            x = h + shortcut if first else relu(h + shortcut)
            block += 1
    x = relu(normed(x, "norm")) if first else x
    expected = x.mean((1, 2)) @ w["head.kernel"] + w["head.bias"]
    found = applied(model, w, IMAGE)
    # float32; the values grow from block to block.
    np.testing.assert_allclose(
        found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()
    )


@pytest.mark.usefixtures("shallow")
def test_the_large_stem_quarters_the_image_before_the_first_block():
    split = resnet(stem="large")
    model = split.merge(weights(split), at_first(split), train=False)
    seen = []
    block = model.blocks[0]
    model.blocks[0] = lambda x: seen.append(x.shape) or block(x)
    jax.eval_shape(model, jnp.ones((1, 32, 32, 2)))
    assert seen == [(1, 8, 8, 4)]


@pytest.mark.usefixtures("shallow")
def test_batch_statistics_are_no_parameters_and_move_in_training_alone():
    split = resnet()
    assert {name.rpartition(".")[2] for name in split.abstract_model_state} == {
        "mean",
        "var",
    }
    params, model_state = weights(split), at_first(split)

    @functools.partial(jax.jit, static_argnames="train")
    def after(train):
        return split.call(
            lambda m: m(jnp.asarray(IMAGE)), params, model_state, train=train
        )[1]

    same, moved = after(train=False), after(train=True)
    assert all((same[name] == model_state[name]).all() for name in model_state)
    mean = moved["stem_norm.mean"]
    x = convolved(IMAGE, np.asarray(params["stem_convolution.kernel"], np.float64), 1)
    # A tenth of the batch's mean, by momentum 0.9.
    np.testing.assert_allclose(mean, 0.1 * x.mean((0, 1, 2)), rtol=1e-3, atol=1e-5)


def test_a_block_adds_nothing_at_first():
    block = Block(
        8,
        2,
        stride=1,
        bottleneck=True,
        first=False,
        convolution=functools.partial(convolution, dtype=None, rngs=nnx.Rngs(0)),
        norm=functools.partial(normalization, groups=2, dtype=None, rngs=nnx.Rngs(0)),
    )
    x = jnp.abs(jnp.asarray(IMAGE.repeat(4, -1)))
    np.testing.assert_allclose(block(x), x, rtol=1e-6)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("net", ["vit", "resnet"])
def test_bfloat16_is_close_to_float32(net):
    make = {"vit": vit, "resnet": resnet}[net]
    full, half = make(), make(dtype=jnp.bfloat16)
    w = weights(full)
    one, two = applied(full, w, IMAGE), applied(half, w, IMAGE)
    assert two.dtype == jnp.float32
    # Roundings of 2^-9, a few of which add up in each of up to twenty layers.
    assert 1e-6 < np.abs(one - two).max() / np.abs(one).max() < 0.1


def test_a_patch_that_does_not_divide_the_images_of_the_data_is_refused():
    inputs = {"image": jax.ShapeDtypeStruct((1, 8, 8, 1), np.float32)}
    with pytest.raises(ConfigError) as raised:
        build_model(ViTConfig(patch=3), nnx.Rngs(0), inputs=inputs)
    assert str(raised.value.diagnostics[0]) == (
        "model.patch: got 3, and the images of the data are 8 x 8. "
        "Expected a divisor of their height and width."
    )
