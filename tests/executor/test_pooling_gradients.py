"""Gradients of max-pooling by masks: bit for bit those of XLA."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import specflow as sf
from specflow.config.sections.mesh import AxesConfig
from specflow.executor import Program, StepSettings
from specflow.executor.pooling_gradients import (
    has_pooling_gradient,
    with_pooling_by_masks,
)
from specflow.mesh import Partitioner, build_mesh
from specflow.model import SplitModel

DTYPES = ("float32", "bfloat16")
SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.0, np.nan, -np.inf, np.inf, 1e-40, -1e-40, 3.5], np.float32
)


def bits(array):
    array = np.asarray(array)
    return array.view(f"u{array.dtype.itemsize}")


def assert_same_bits(function, *args):
    """Compares a function with XLA's, and makes sure that it is another program."""
    traced = jax.jit(function).trace(*args)
    assert has_pooling_gradient(traced.jaxpr)
    masks = jax.jit(with_pooling_by_masks(function, *args))
    text = masks.lower(*args).as_text()
    assert "select_and_scatter" not in text
    for theirs, ours in zip(
        jax.tree.leaves(traced.lower().compile()(*args)),
        jax.tree.leaves(masks(*args)),
        strict=True,
    ):
        assert theirs.dtype == ours.dtype
        np.testing.assert_array_equal(bits(ours), bits(theirs))


def pooled(x, window=(1, 2, 2, 1), strides=None, padding="VALID", *, least=False):
    start, reduce = (jnp.inf, lax.min) if least else (-jnp.inf, lax.max)
    return lax.reduce_window(x, start, reduce, window, strides or window, padding)


def pull(pool):
    """The gradient of a pool: (its input, that of its output) -> that of its input."""
    return lambda x, output: jax.vjp(pool, x)[1](output)[0]


@st.composite
def pools(draw):
    """(shape, options of `pooled`) of windows that do not overlap, in any dimension."""
    rank = draw(st.integers(1, 4))
    sizes = st.integers(1, 3 if rank < 4 else 2)
    window = tuple(draw(sizes) for _ in range(rank))
    assume(np.prod(window) <= 16)
    strides = tuple(size + draw(st.integers(0, 1)) for size in window)
    shape = tuple(size + draw(st.integers(0, 4)) for size in window)
    pairs = st.tuples(st.integers(0, 2), st.integers(0, 2))
    padding = draw(st.sampled_from(["VALID", "SAME"]) | st.tuples(*[pairs] * rank))
    return shape, {"window": window, "strides": strides, "padding": padding}


@settings(max_examples=25)
@given(
    pools(),
    st.sampled_from(DTYPES),
    st.booleans(),
    st.sampled_from(["special", "integers", "after a ReLU"]),
    st.integers(0, 2**32 - 1),
)
def test_the_gradient_is_that_of_xla(pool, dtype, least, values, seed):
    shape, options = pool
    rng = np.random.default_rng(seed)
    if values == "special":
        x = rng.choice(SPECIAL, shape)
    elif values == "integers":
        x = rng.integers(-2, 3, shape).astype(np.float32)
    else:
        x = np.maximum(rng.standard_normal(shape, np.float32), 0)
    function = functools.partial(pooled, **options, least=least)
    x = jnp.asarray(x, dtype)
    output = jax.eval_shape(function, x)
    assume(output.size > 1)
    grad = jnp.asarray(rng.choice(SPECIAL, output.shape), dtype)
    assert_same_bits(pull(function), x, grad)


def images(*shape, dtype="float32"):
    x = np.random.default_rng(0).integers(-2, 3, shape)
    return jnp.maximum(jnp.asarray(x, dtype), 0)


def squares(x):
    return (pooled(x) ** 2).sum()


def in_scan(x):
    return lax.scan(lambda total, x: (total + squares(x), None), x.dtype.type(0), x)[0]


def in_while(x):
    """A loop whose body has a gradient: it is not differentiated itself."""
    return lax.fori_loop(0, 2, lambda _, x: x - jax.grad(squares)(x), x)


def in_cond(x):
    return lax.cond(x.sum() > 0, lambda x: squares(x), lambda x: squares(-x), x)


@jax.custom_vjp
def custom(x):
    return squares(x)


custom.defvjp(
    lambda x: (squares(x), x), lambda x, grad: (3 * grad * jax.grad(squares)(x),)
)


@jax.custom_jvp
def with_gradient_inside(x):
    return (x * jax.grad(squares)(x)).sum()


with_gradient_inside.defjvps(lambda tangent, value, x: 2 * value * tangent.sum())


PLACES = {
    "plain": jax.grad(squares),
    "jit": jax.grad(jax.jit(squares)),
    "vmap": jax.vmap(jax.grad(squares)),
    "gradient of vmap": jax.grad(lambda x: jax.vmap(squares)(x).sum()),
    "scan": jax.grad(in_scan),
    "while": in_while,
    "cond": jax.grad(in_cond),
    "remat": jax.grad(jax.checkpoint(squares)),
    "remat in scan": jax.grad(lambda x: in_scan(jax.checkpoint(lambda x: x * x)(x))),
    "custom_vjp": jax.grad(custom),
    "custom_vjp in scan": jax.grad(
        lambda x: lax.scan(lambda s, x: (s + custom(x), None), x.dtype.type(0), x)[0]
    ),
    "custom_jvp": with_gradient_inside,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("place", PLACES)
def test_it_is_replaced_wherever_it_is(place, dtype):
    stacked = "scan" in place or "vmap" in place
    assert_same_bits(PLACES[place], images(*[3] * stacked, 2, 6, 5, 2, dtype=dtype))


def test_it_is_replaced_in_shard_map():
    mesh = Mesh(np.array(jax.devices()[:2]), ("data",))
    rows = PartitionSpec("data")
    function = jax.shard_map(
        jax.grad(squares), mesh=mesh, in_specs=rows, out_specs=rows
    )
    assert_same_bits(function, images(4, 6, 6, 2))


def test_a_batch_may_be_sharded_over_a_mesh():
    mesh = Mesh(np.array(jax.devices()[:2]), ("data",))
    x = jax.device_put(images(4, 6, 6, 2), NamedSharding(mesh, PartitionSpec("data")))
    assert_same_bits(jax.grad(squares), x)


@pytest.mark.parametrize(
    "function",
    [
        functools.partial(pooled, window=(1, 3, 3, 1), strides=(1, 2, 2, 1)),
        functools.partial(pooled, window=(1, 6, 5, 1)),
        functools.partial(pooled, window=(2, 2, 1, 2), strides=(2, 6, 5, 2)),
        lambda x: jnp.maximum(x[:, ::2], x[:, 1::2]),
        lambda x: nnx.avg_pool(x, (2, 2), (2, 2)),
    ],
    ids=[
        "windows overlap",
        "more than 16 elements",
        "one window",
        "maximum of slices",
        "mean",
    ],
)
def test_other_programs_do_not_change(function):
    grad = jax.grad(lambda x: function(x).sum())
    assert not has_pooling_gradient(jax.make_jaxpr(grad)(images(2, 6, 5, 2)))


class PooledNet(nnx.Module):
    """A layer, max-pooling and a head, on 6x6 images of integers, so with many ties."""

    def __init__(self, layer, rngs):
        self.layer = layer(rngs)
        self.head = nnx.Linear(3 * 3 * 4, 3, rngs=rngs)

    def __call__(self, x):
        x = nnx.max_pool(nnx.relu(self.layer(x)), (2, 2), (2, 2))
        return self.head(x.reshape(x.shape[0], -1))


class Flat(nnx.Module):
    def __init__(self, rngs):
        self.head = nnx.Linear(6 * 6 * 2, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(x.reshape(x.shape[0], -1))


def dense(rngs):
    return nnx.Linear(2, 4, rngs=rngs)


def convolution(rngs):
    return nnx.Conv(2, 4, (3, 3), rngs=rngs)


def net_fn(model, features, labels, mode):
    logits = model(features["image"])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return sf.TPUEstimatorSpec(mode, {}, losses.mean(), optax.adam(0.1))


def new_program(layer, *, tuned, **settings):
    return Program(
        net_fn,
        SplitModel(lambda rngs: PooledNet(layer, rngs)),
        Partitioner(build_mesh(AxesConfig(data=2), jax.devices()[:2])),
        tuned=tuned,
        settings=StepSettings(**settings),
    )


STACKED = {"image": np.asarray(images(5, 8, 6, 6, 2))}, np.arange(40).reshape(5, 8) % 3


def trained(program):
    (features, labels), batch = STACKED, jax.tree.map(lambda rows: rows[0], STACKED)
    state = program.init_state(0, *batch)
    features, labels = program.put(features, axis=1), program.put(labels, axis=1)
    return program.train(state, features, labels, 0, 5)


@pytest.mark.parametrize("micro_steps", [1, 2])
def test_training_is_the_same_bit_for_bit(micro_steps):
    tuned, plain = (
        new_program(dense, tuned=tuned, micro_steps=micro_steps)
        for tuned in (True, False)
    )
    results = trained(tuned), trained(plain)
    for ours, theirs in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    texts = [each.lowered[sf.Mode.TRAIN].stage.as_text() for each in (tuned, plain)]
    assert ["select_and_scatter" in text for text in texts] == [False, True]
    names = [text.partition("{")[0] for text in texts]
    assert names[0] == names[1]  # Of the program, as profiles show it.
    donated = [text.count("tf.aliasing_output") for text in texts]
    donated = [
        d + t.count("jax.buffer_donor") for d, t in zip(donated, texts, strict=True)
    ]
    assert donated[0] == donated[1] > 0


def test_a_net_with_convolutions_has_masks_too():
    program = new_program(convolution, tuned=True)
    trained(program)
    text = program.lowered[sf.Mode.TRAIN].stage.as_text()
    assert "convolution" in text
    assert "select_and_scatter" not in text


def test_a_program_without_pooling_does_not_change():
    tuned, plain = (
        Program(
            net_fn,
            SplitModel(Flat),
            Partitioner(build_mesh(AxesConfig())),
            tuned=tuned,
        )
        for tuned in (True, False)
    )
    for program in (tuned, plain):
        trained(program)
    assert tuned.fingerprints() == plain.fingerprints()
