"""cuDNN's attention is traced and lowered for GPUs that are not there."""

import re
from collections import Counter
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from flax.core import spmd
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from specflow.diagnostics.errors import ConfigError
from specflow.model.zoo import Decoder
from specflow.model.zoo.attention import attend

RULES = (("batch", ("data", "fsdp")), ("heads", "tensor"), ("kv_heads", "tensor"),
         ("length", "sequence"))  # fmt: skip
FORWARD, BACKWARD = "__cudnn$fmhaSoftmax", "__cudnn$fmhaSoftmaxBackward"


@pytest.fixture
def cudnn(monkeypatch):
    """JAX's own module; it asks for cuDNN's version while it traces: here is none."""
    fused = pytest.importorskip("jax._src.cudnn.fused_attention_stablehlo")
    monkeypatch.setattr(fused, "check_cudnn_version", lambda: 91_000)
    return fused


def gpus(**axes):
    """A mesh of GPUs that are not there."""
    return AbstractMesh(
        tuple(axes.values()),
        tuple(axes),
        axis_types=(AxisType.Auto,) * len(axes),
        abstract_device=AbstractDevice("NVIDIA H100 80GB HBM3", 132, "gpu"),
    )


def heads(count, *, batch=4, length=96, width=64, dtype="bfloat16"):
    return jax.ShapeDtypeStruct((batch, length, count, width), dtype)


def lowered(function, *arguments, **axes):
    with spmd.logical_axis_rules(RULES), jax.sharding.use_abstract_mesh(gpus(**axes)):
        return jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",))


def calls(text):
    """The kernels that it calls: name -> how often."""
    return Counter(re.findall(r"custom_call @(__cudnn\S+?)\(", text))


def gradients(*heads):
    def loss(*heads):
        return attend(*heads, kind="auto", training=True).astype(jnp.float32).sum()

    return jax.grad(loss, argnums=(0, 1, 2))(*heads)


@pytest.mark.usefixtures("cudnn")
@pytest.mark.parametrize(
    ("axes", "batch", "kv_heads", "share"),
    # By hand: sequences over data, heads over tensor; key heads that are too few are
    # repeated, sequences that do not divide are everyone's, tokens are never cut.
    [
        ({"data": 1}, 4, 2, ("4x96x8x64", "4x96x2x64")),
        ({"data": 2, "tensor": 2}, 4, 2, ("2x96x4x64", "2x96x1x64")),
        ({"data": 2, "tensor": 4}, 4, 2, ("2x96x2x64", "2x96x2x64")),
        ({"data": 2, "tensor": 2}, 3, 8, ("3x96x4x64", "3x96x4x64")),
        ({"data": 2, "sequence": 2}, 4, 1, ("2x96x8x64", "2x96x1x64")),
    ],
    ids=["one", "cut", "repeated", "uneven", "whole"],
)
def test_each_device_attends_to_its_own_heads(axes, batch, kv_heads, share):
    query, key = heads(8, batch=batch), heads(kv_heads, batch=batch)
    text = lowered(gradients, query, key, key, **axes).as_text()
    assert calls(text) == {FORWARD: 1, BACKWARD: 1}
    (taken,) = re.findall(r"fmhaSoftmax\(.*: \((.*?)\) ->", text)
    query, key = (f"tensor<{shape}xbf16>" for shape in share)
    assert taken == f"{query}, {key}, {key}"


@pytest.mark.usefixtures("cudnn")
def test_a_program_has_the_same_text_wherever_it_is_lowered():
    """Processes compare their programs, and runs their fingerprints."""
    query = heads(4)
    first = lowered(gradients, query, query, query, data=2, tensor=2)
    kept = [first, jax.clear_caches()]
    second = lowered(gradients, query, query, query, data=2, tensor=2)
    assert kept[0].as_text() == second.as_text()


@pytest.mark.usefixtures("cudnn")
@pytest.mark.parametrize(
    ("remat", "forward"), [("none", 1), ("full", 2), ("dots", 1)],
)  # fmt: skip
def test_a_decoder_attends_again_only_where_everything_is_computed_again(
    remat, forward
):
    model = nnx.eval_shape(
        lambda: Decoder(
            vocabulary=64, layers=2, width=64, heads=4, kv_heads=2, head_dim=16,
            mlp_width=64, remat=remat, dtype=jnp.bfloat16, rngs=nnx.Rngs(0),
        )
    )  # fmt: skip
    graph, params = nnx.split(model)

    def step(params, tokens):
        return jax.grad(lambda p: nnx.merge(graph, p)(tokens).sum())(params)

    tokens = jax.ShapeDtypeStruct((4, 32), "int32")
    text = lowered(step, params, tokens, data=2, tensor=2).as_text()
    assert calls(text) == {FORWARD: forward, BACKWARD: 1}


@pytest.mark.usefixtures("cudnn")
def test_what_is_not_trained_calls_it_on_gpus_and_can_be_exported():
    """An export belongs to no mesh; cuDNN's calls could not be stored."""

    def attended(query):
        return attend(query, query, query, kind="auto", training=False)

    text = lowered(attended, heads(2), data=1).as_text()
    assert calls(text) == {FORWARD: 1}
    (rows,) = jax.export.symbolic_shape("rows")
    exported = jax.export.export(jax.jit(attended), platforms=["cpu", "cuda"])
    assert exported(heads(2, batch=rows)).serialize()


@pytest.mark.parametrize(
    ("capability", "query", "message"),
    [
        ("9.0", heads(1, dtype="float16"), ""),
        ("9.0", heads(1, dtype="float32"),
         "its heads are bfloat16 or float16, and model.dtype is float32"),
        ("9.0", heads(1, length=95),
         "a sequence has 95 tokens, and it trains on even numbers alone"),
        ("9.0", heads(1, width=256), ""),
        ("8.0", heads(1, width=256), "a head is 256 wide, no multiple of 8 up to 128"),
        ("8.0", heads(1, width=60), "a head is 60 wide, no multiple of 8 up to 128"),
        ("7.5", heads(1), "it takes an NVIDIA GPU of compute capability 8.0 or more, "
                          "and this one has 7.5"),
        ("gfx942", heads(1), "it takes an NVIDIA GPU of compute capability 8.0 or "
                             "more, and this one has none"),
    ],
    ids=["float16", "float32", "odd length", "wide", "too wide", "odd width", "T4",
         "MI300X"],
)  # fmt: skip
def test_what_cudnn_does_not_take_is_told_and_auto_goes_without(
    capability, query, message, cudnn, monkeypatch
):
    mesh = gpus(data=1)
    kind = mesh.abstract_device.device_kind
    here = [SimpleNamespace(device_kind=kind, compute_capability=capability)]
    monkeypatch.setattr(jax, "local_devices", lambda: here)

    def has(least):
        return float(capability) >= float(least)

    monkeypatch.setattr(cudnn, "check_compute_capability", has)

    def attended(kind):
        # Another function each time: JAX would remember what it traced.
        traced = jax.jit(lambda q: attend(q, q, q, kind=kind, training=True))
        return "dot_product_attention_fwd" in str(traced.trace(query).jaxpr)

    with jax.sharding.use_abstract_mesh(mesh):
        assert attended("auto") == (not message)
        if not message:
            assert attended("cudnn")
            return
        with pytest.raises(ConfigError) as failed:
            attended("cudnn")
    assert str(failed.value) == (
        f"model.attention: got 'cudnn', but {message}. Try model.attention=auto."
    )


def test_jax_itself_has_no_gradients_of_odd_sequences(cudnn):
    """Where it learns to, the refusal can go."""
    query = heads(1, length=95)

    def loss(query):
        return jax.nn.dot_product_attention(
            query, query, query, is_causal=True, implementation="cudnn"
        ).sum()

    jax.jit(loss).trace(query)
    with pytest.raises(NotImplementedError, match="Unsupported sequence length Q 95"):
        jax.jit(jax.grad(loss)).trace(query)


def test_it_is_refused_where_the_mesh_is_of_cpus():
    query = heads(1)
    attention = jax.jit(attend, static_argnames=("kind", "training"))
    with pytest.raises(ConfigError, match="got 'cudnn', but the program is for cpu"):
        attention.trace(query, query, query, kind="cudnn", training=True)
