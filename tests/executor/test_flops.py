"""FLOPs, against counts by hand: two for each multiply-add, and nothing else."""

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from specflow.executor.flops import (
    KERNELS,
    Flops,
    count_flops,
    has_remat,
    saved,
)
from specflow.executor.traced_once import Traced


def form(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def counted(function, *args, again=True):
    return count_flops(jax.make_jaxpr(function)(*args), again=again)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 5), min_size=5, max_size=5))
def test_a_matrix_product_counts_two_operations_per_multiplication(sizes):
    b, m, k, n, g = sizes
    flops = counted(
        lambda x, y: jnp.einsum("bmkg,bkgn->bmn", x, y),
        form(b, m, k, g),
        form(b, k, g, n),
    )
    assert flops.total == 2 * b * m * k * g * n


def test_each_row_of_a_ragged_product_is_multiplied_by_one_matrix():
    flops = counted(
        lax.ragged_dot, form(6, 4), form(3, 4, 5), jax.ShapeDtypeStruct((3,), jnp.int32)
    )
    assert flops.total == 2 * 6 * 4 * 5


def convolve(x, kernel, *, groups=1, stride=1, padding="VALID"):
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, feature_group_count=groups,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    ).sum()  # fmt: skip


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_multiplies_every_weight_at_every_position(groups):
    image, kernel = form(2, 9, 9, 4), form(3, 3, 4 // groups, 8)
    flops = counted(lambda x, k: convolve(x, k, groups=groups, stride=2), image, kernel)
    places, weights = 2 * 4 * 4, 3 * 3 * (4 // groups) * 8
    assert flops.total == 2 * places * weights


@pytest.mark.parametrize("groups", [1, 2])
def test_the_gradient_of_a_kernel_costs_what_its_convolution_costs(groups):
    image, kernel = form(2, 9, 9, 4), form(3, 3, 4 // groups, 8)

    def function(x, k):
        return convolve(x, k, groups=groups, stride=2)

    once = counted(function, image, kernel).total
    assert counted(jax.grad(function, argnums=1), image, kernel).total == 2 * once


def test_zeros_of_a_dilation_are_not_counted():
    # Neither padded nor overlapping: each place is multiplied by the kernel, once.
    image, kernel = form(1, 8, 8, 3), form(2, 2, 3, 5)

    def function(x, k):
        return convolve(x, k, stride=2)

    once = counted(function, image, kernel).total
    gradient = counted(jax.grad(function), image, kernel).total - once
    assert gradient == once


def layers(weights, x):
    def layer(x, weight):
        return jnp.tanh(x @ weight), None

    return lax.scan(layer, x, weights)[0].sum()


def test_a_scan_counts_once_per_trip_and_its_gradient_twice():
    weights, x = form(7, 4, 4), form(5, 4)
    once = 7 * 2 * 5 * 4 * 4
    assert counted(layers, weights, x).total == once
    assert counted(jax.grad(layers, argnums=(0, 1)), weights, x).total == 3 * once


def test_the_largest_branch_of_a_conditional_counts():
    def function(x):
        return lax.cond(x.sum() > 0, lambda x: x @ x, lambda x: x @ x @ x, x)

    assert counted(function, form(4, 4)).total == 2 * 2 * 4**3


def test_a_loop_with_an_unknown_trip_count_counts_once_and_is_reported():
    def function(x):
        return lax.while_loop(lambda x: x.sum() < 3, lambda x: x @ x, x)

    flops = counted(function, form(4, 4))
    assert flops.total == 2 * 4**3
    (reason,) = flops.unknown
    assert reason.startswith("trips of a while loop (executor/test_flops.py:")


def test_shard_map_counts_once_per_device():
    mesh = Mesh(jax.devices()[:4], ("data",))
    spec = PartitionSpec("data")
    replicated = PartitionSpec()
    each = jax.shard_map(
        lambda x, y: x @ y, mesh=mesh, in_specs=(spec, replicated), out_specs=spec
    )
    assert counted(each, form(8, 3), form(3, 5)).total == 2 * 8 * 3 * 5


def test_functions_with_custom_derivatives_count():
    @jax.custom_vjp
    def square(x):
        return x @ x

    square.defvjp(lambda x: (square(x), x), lambda x, g: (g @ x.T + x.T @ g,))
    assert counted(square, form(4, 4)).total == 2 * 4**3
    gradient = jax.grad(lambda x: square(x).sum())
    assert counted(gradient, form(4, 4)).total == 3 * 2 * 4**3


def test_remat_adds_operations_beyond_those_of_the_model():
    def function(weights, x):
        def layer(x, weight):
            return jax.checkpoint(lambda x, w: jnp.tanh(x @ w))(x, weight), None

        return lax.scan(layer, x, weights)[0].sum()

    args = form(7, 4, 4), form(5, 4)
    traced, once = Traced(function, *args), 7 * 2 * 5 * 4 * 4
    both = {"argnums": (0, 1)}
    assert has_remat(traced.jaxpr)
    assert not has_remat(jax.make_jaxpr(layers)(*args))
    assert counted(jax.grad(traced, **both), *args).total == 4 * once
    assert counted(jax.grad(saved(traced), **both), *args).total == 3 * once


def test_a_function_without_remat_computes_the_same():
    def function(x):
        return jax.checkpoint(jnp.sin)(x).sum()

    x = jnp.arange(3.0)
    traced = Traced(function, form(3))
    assert (jax.grad(saved(traced))(x) == jax.grad(traced)(x)).all()


def splash(**blocks):
    kernels = pytest.importorskip(
        "jax.experimental.pallas.ops.tpu.splash_attention.splash_attention_kernel"
    )
    masks = pytest.importorskip(
        "jax.experimental.pallas.ops.tpu.splash_attention.splash_attention_mask"
    )
    mask = masks.MultiHeadMask([masks.CausalMask((256, 256)) for _ in range(4)])
    sizes = kernels.BlockSizes(
        block_q=128, block_kv=128, block_kv_compute=128, block_q_dkv=128,
        block_kv_dkv=128, block_kv_dkv_compute=128, **blocks,
    )  # fmt: skip
    kernel = kernels.make_splash_mha(
        mask, block_sizes=sizes, head_shards=1, q_seq_shards=1
    )
    return lambda q, k, v: jax.vmap(kernel)(q, k, v).sum()


@pytest.mark.parametrize(
    ("blocks", "products"),
    # Scores and values; then, by two kernels, scores twice, dP twice, dV, dK and dQ; by
    # one, each once. Source: Dao, FlashAttention-2, 2023, section 3.
    [({"block_q_dq": 128, "block_kv_dq": 128}, 9), ({"use_fused_bwd_kernel": True}, 7)],
)
def test_splash_attention_is_registered(blocks, products):
    function, q = splash(**blocks), form(2, 4, 256, 128)
    square = 2 * 2 * 4 * 256 * 256 * 128
    assert counted(function, q, q, q).total == 2 * square
    flops = counted(jax.grad(function, argnums=(0, 1, 2)), q, q, q)
    assert flops.unknown == ()
    # The log-sum of the fused kernel, delta, is a product of rows by rows besides.
    assert flops.total == pytest.approx(products * square, rel=0.01)
    # Of the model: scores and values, and twice that backward.
    needed = counted(jax.grad(function, argnums=(0, 1, 2)), q, q, q, again=False)
    assert needed.total == pytest.approx(6 * square, rel=0.01)


def test_cudnn_attention_is_registered(monkeypatch):
    fused = pytest.importorskip("jax._src.cudnn.fused_attention_stablehlo")
    monkeypatch.setattr(fused, "check_cudnn_version", lambda: 91_000)

    def attended(query, key):
        return jax.nn.dot_product_attention(
            query, key, key, is_causal=True, implementation="cudnn"
        ).sum()

    query = jax.ShapeDtypeStruct((2, 256, 4, 128), "bfloat16")
    key = jax.ShapeDtypeStruct((2, 256, 2, 128), "bfloat16")
    square = 2 * 2 * 4 * 256 * 256 * 128
    assert counted(attended, query, key).total == 2 * square
    gradients = jax.grad(attended, argnums=(0, 1))
    # Backward: scores, dV, dP, dQ and dK. Source: Dao, FlashAttention-2, 2023.
    assert counted(gradients, query, key) == Flops(7 * square)
    assert counted(gradients, query, key, again=False) == Flops(6 * square)


def test_an_unregistered_kernel_is_reported(monkeypatch):
    from jax.experimental import pallas

    def kernel(x, out):
        out[...] = x[...] @ x[...]

    call = pallas.pallas_call(kernel, out_shape=form(4, 4), name="my_square")
    (reason,) = counted(call, form(4, 4)).unknown
    assert reason.startswith("kernel my_square")
    monkeypatch.setitem(KERNELS, "my_sq", lambda call: 8 * call.invars[0].aval.size)
    assert counted(call, form(4, 4)).total == 2 * 4**3
