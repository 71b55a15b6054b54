"""Splash attention is attention, on one device and on a mesh; and lowers for TPUs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import spmd
from jax.sharding import AbstractDevice, AbstractMesh, AxisType, Mesh

from specflow.diagnostics.errors import ConfigError
from specflow.model.zoo import splash
from specflow.model.zoo.attention import attend

RULES = (("batch", ("data", "fsdp")), ("heads", "tensor"), ("kv_heads", "tensor"))


def heads(count, *, dtype="float32", batch=2, length=128, width=16):
    shape = (batch, length, count, width)
    rng = np.random.default_rng(count)
    return jnp.asarray(rng.normal(size=shape), dtype)


def reference(query, key, value):
    """NumPy, float64: softmax(q k / sqrt(d)) v over the tokens so far."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    group = query.shape[2] // key.shape[2]
    key, value = (np.repeat(x, group, axis=2) for x in (key, value))
    scores = np.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(query.shape[3])
    weights = np.where(np.tri(query.shape[1], dtype=bool), np.exp(scores), 0)
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bhqk,bkhd->bqhd", weights, value)


def tpus(kind="TPU v5", **axes):
    """A mesh of chips that are not there; the partitioner lays out its arrays."""
    return AbstractMesh(
        tuple(axes.values()),
        tuple(axes),
        axis_types=(AxisType.Auto,) * len(axes),
        abstract_device=AbstractDevice(kind, 2, "tpu"),
    )


@pytest.fixture
def interpreted(monkeypatch):
    """The kernel in Pallas's interpreter, which runs on a CPU."""
    make = functools.partial(splash.pallas.make_splash_mha, interpret=True)
    monkeypatch.setattr(splash.pallas, "make_splash_mha", make)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("kv_heads", [1, 2], ids=["repeated", "cut"])
def test_splash_attention_is_attention_on_a_mesh(kv_heads):
    """With one key head, and two devices for the query heads, it must be repeated."""
    query, key, value = heads(4), heads(kv_heads), heads(kv_heads) * 2
    mesh = Mesh(np.array(jax.devices()[:4]).reshape(2, 2), ("data", "tensor"))
    with spmd.logical_axis_rules(RULES), jax.set_mesh(mesh):
        found = jax.jit(splash.splash_attention)(query, key, value)
    # float32, sums of 128 terms.
    np.testing.assert_allclose(found, reference(query, key, value), atol=1e-5)


def test_sequences_that_the_devices_do_not_divide_are_attended_to_by_all():
    """The last batch of a set that is evaluated. The partitioner refuses a kernel of
    several devices that stands outside of a `shard_map`."""
    mesh = tpus(data=4)
    with spmd.logical_axis_rules(RULES), jax.sharding.use_abstract_mesh(mesh):
        traced = jax.jit(splash.splash_attention).trace(*[heads(2, batch=3)] * 3)
    (call,) = (one for one in traced.jaxpr.eqns if one.primitive.name == "shard_map")
    assert call.outvars[0].aval.shape == (3, 2, 128, 16)
    assert "pallas_call" in str(call.params["jaxpr"])


def test_plain_attention_is_attention():
    query, key, value = heads(4), heads(2), heads(2) * 2
    found = attend(query, key, value, kind="auto", training=True)
    np.testing.assert_allclose(found, reference(query, key, value), atol=1e-5)


@pytest.mark.parametrize("parts", [1, 4], ids=["one device", "a mesh"])
def test_splash_attention_is_lowered_for_tpus_that_are_not_there(parts):
    """Forward and both backward kernels, from the jaxpr of a machine without one."""
    mesh = tpus(data=2, tensor=parts)

    def loss(*heads):
        mixed = attend(*heads, kind="auto", training=True)
        return mixed.astype(jnp.float32).sum()

    arguments = heads(4, dtype="bfloat16"), *[heads(2, dtype="bfloat16")] * 2
    with spmd.logical_axis_rules(RULES), jax.sharding.use_abstract_mesh(mesh):
        traced = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).trace(*arguments)
        lowered = traced.lower(lowering_platforms=("tpu",))
    assert lowered.as_text().count("tpu_custom_call") == 3


def test_what_is_not_trained_runs_on_other_platforms_too():
    """A model for TPUs is exported for CPUs as well."""
    query = heads(2)

    def attended(query):
        return attend(query, query, query, kind="auto", training=False)

    with jax.sharding.use_abstract_mesh(tpus(data=1)):
        traced = jax.jit(attended).trace(query)
        texts = {
            platform: traced.lower(lowering_platforms=(platform,)).as_text()
            for platform in ("tpu", "cpu")
        }
    assert "tpu_custom_call" in texts["tpu"]
    assert "tpu_custom_call" not in texts["cpu"]


def test_splash_attention_is_refused_where_the_mesh_is_of_cpus():
    device = AbstractDevice("cpu", None, "cpu")
    mesh = AbstractMesh((1,), ("data",), abstract_device=device)
    query = heads(1)
    with (
        jax.sharding.use_abstract_mesh(mesh),
        pytest.raises(ConfigError, match="got 'splash', but the program is for cpu"),
    ):
        attend(query, query, query, kind="splash", training=True)
