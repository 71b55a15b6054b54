"""XLA options of training with convolutions on CPU."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.config.sections.mesh import AxesConfig
from specflow.executor import Program, lowering
from specflow.executor.executables import EXECUTABLES
from specflow.executor.xla_options import convolution_options
from specflow.mesh import Partitioner, build_mesh
from specflow.model import SplitModel

IMAGES = jnp.ones((8, 4, 4, 2))
NAME = "xla_cpu_experimental_ynn_fusion_type"


def options(function):
    return convolution_options(jax.make_jaxpr(function)(IMAGES))


def pooled_by_reshape(x):
    return x.reshape(8, 2, 2, 2, 2, 2).max((2, 4))


@pytest.mark.parametrize("function", [nnx.softmax, pooled_by_reshape])
def test_xla_knows_every_option(function):
    """A program would otherwise be compiled without it, silently."""
    stage = jax.jit(function).lower(IMAGES)
    stage.compile(compiler_options=options(function))
    unknown: dict[str, str | bool] = {NAME: "LIBRARY_FUSION_TYPE_UNKNOWN"}
    with pytest.raises(jax.errors.JaxRuntimeError):
        stage.compile(compiler_options=unknown)


def test_reductions_stay_fused_unless_the_gradient_of_one_is_slow():
    fused = "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"
    assert options(nnx.softmax) == {NAME: fused}
    assert options(lambda x: nnx.max_pool(x, (2, 2), (2, 2))) == {NAME: fused}
    alone = {NAME: "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"}
    assert options(pooled_by_reshape) == alone
    assert options(jax.jit(pooled_by_reshape)) == alone


class Net(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(2, 3, (3, 3), rngs=rngs)

    def __call__(self, x):
        return self.conv(x).mean((1, 2))


def net_fn(model, features, labels, mode):
    logits = model(features["image"])
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode, {"logits": logits})
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return sf.TPUEstimatorSpec(mode, {}, losses.mean(), optax.sgd(0.1))


@pytest.fixture
def compiled(monkeypatch):
    """The options of every program compiled since, in order; None: without."""
    seen = []
    compile_ = jax.stages.Lowered.compile

    def recorded(self, compiler_options=None, **kwargs):
        seen.append(compiler_options)
        return compile_(self, compiler_options, **kwargs)

    monkeypatch.setattr(jax.stages.Lowered, "compile", recorded)
    # Equal programs of other tests are compiled anew.
    monkeypatch.setattr(EXECUTABLES, "_size", 0)
    EXECUTABLES.clear()
    return seen


def losses(*, tuned=True):
    """Trains two steps, then predicts."""
    partitioner = Partitioner(build_mesh(AxesConfig(data=1), jax.devices()[:1]))
    program = Program(net_fn, SplitModel(Net), partitioner, tuned=tuned)
    features, labels = (
        {"image": np.ones((2, 8, 4, 4, 2), np.float32)},
        np.ones((2, 8), int),
    )
    first = jax.tree.map(lambda rows: rows[0], features)
    state = program.init_state(0, first, labels[0])
    x, y = program.put((features, labels.astype(np.int32)), axis=1)
    state, losses, _ = program.train(state, x, y, 0, 2)
    program.predict(state, program.feed(first), program.feed(np.ones(8, bool)))
    return np.asarray(losses)


def test_training_has_options_and_prediction_has_none(compiled):
    losses()
    *_, train, predict = compiled
    assert train == options(nnx.softmax)
    assert predict is None
    compiled.clear()
    losses(tuned=False)
    assert not any(NAME in (each or {}) for each in compiled)


def test_an_xla_that_does_not_know_an_option_compiles_without(compiled, monkeypatch):
    expected = losses()
    unknown = {"xla_cpu_of_another_version": "x"}
    monkeypatch.setattr(lowering, "convolution_options", lambda forward: unknown)
    np.testing.assert_allclose(losses(), expected, rtol=1e-5)
    *_, refused, train, predict = compiled
    assert (refused, train, predict) == (unknown, None, None)
