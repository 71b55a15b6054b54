"""Dimension names: from Flax metadata to shards of parameters and activations."""

import jax
import numpy as np
import optax
import pytest
from flax import linen, nnx

import specflow as sf
from specflow.commands.placement_table import bytes_per_device
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.contract import Mode
from specflow.data import as_source
from specflow.serving import load_export

TABLE = {"embed": "fsdp", "mlp": "tensor"}
X = np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32)
Y = np.arange(16, dtype=np.int32) % 4


class InNnx(nnx.Module):
    def __init__(self, *, rngs):
        init = nnx.with_partitioning(nnx.initializers.lecun_normal(), ("embed", "mlp"))
        self.up = nnx.Linear(8, 16, kernel_init=init, rngs=rngs)
        self.head = nnx.Linear(16, 4, rngs=rngs)

    def __call__(self, x):
        hidden = linen.with_logical_constraint(self.up(x), ("batch", "mlp"))
        return self.head(nnx.relu(hidden))


class InLinen(linen.Module):
    @linen.compact
    def __call__(self, x):
        init = linen.initializers.lecun_normal()
        init = linen.with_logical_partitioning(init, ("embed", "mlp"))
        hidden = linen.Dense(16, kernel_init=init, name="up")(x)
        hidden = linen.with_logical_constraint(hidden, ("batch", "mlp"))
        return linen.Dense(4, name="head")(linen.relu(hidden))


MODELS = {"nnx": lambda rngs: InNnx(rngs=rngs), "linen": InLinen()}


def model_fn(model, features, labels, mode):
    logits = model(features["x"])
    predictions = {"logits": logits}
    if mode is Mode.PREDICT:
        outputs = {"serving_default": sf.PredictOutput(outputs=predictions)}
        return sf.TPUEstimatorSpec(mode, predictions, export_outputs=outputs)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return sf.TPUEstimatorSpec(mode, predictions, losses.mean(), optax.adam(1e-2))


def input_fn():
    return {"x": X}, Y


@pytest.fixture(params=MODELS)
def estimator_of(request, tmp_path):
    """Makes the estimator of a model on a mesh."""

    def make(**axes):
        return sf.TPUEstimator(
            model_fn,
            model=MODELS[request.param],
            model_dir=tmp_path,
            train_batch_size=16,
            mesh=MeshConfig(axes=AxesConfig(**axes), logical=TABLE),
        )

    return make


def constraints(estimator, *, placed=True):
    forward = estimator.program.tracer.forward(
        Mode.PREDICT, {"x": X}, None, placed=placed
    )
    return str(forward.jaxpr).count("sharding_constraint")


def test_kernels_and_activations_are_sharded_by_their_dimension_names(estimator_of):
    estimator = estimator_of(data=2, fsdp=2, tensor=2)
    estimator.train(input_fn, max_steps=1)
    state = estimator._states.state
    kernel = state.params["up.kernel"]
    assert kernel.sharding.spec == jax.sharding.PartitionSpec("fsdp", "tensor")
    # 8 x 16 floats of 4 bytes over 2 x 2; Adam's moments alike.
    held = [
        tree["up.kernel"].addressable_shards[0].data.nbytes
        for tree in (state.params, state.opt_state[0].mu, state.opt_state[0].nu)
    ]
    assert held == [128, 128, 128]
    predicted = estimator.abstract_state(as_source(({"x": X}, Y)))
    assert bytes_per_device(predicted.params["up.kernel"]) == 128
    assert estimator.program.placements()["up.kernel"].rule == "logical (embed, mlp)"
    assert constraints(estimator) == 1
    assert constraints(estimator, placed=False) == 0
    estimator.close()


def test_one_device_has_no_sharding_constraints_and_no_second_trace(estimator_of):
    estimator = estimator_of(data=1)
    assert constraints(estimator) == constraints(estimator) == 0
    # With Linen the function runs once more in each mode, to discover variables.
    linen_model = estimator.program.tracer.traces[Mode.TRAIN]
    assert estimator.program.tracer.traces[Mode.PREDICT] == (2 if linen_model else 1)


@pytest.mark.parametrize("estimator_of", ["nnx"], indirect=True)
def test_an_export_has_no_mesh(estimator_of, tmp_path):
    """It would otherwise require as many devices for serving."""
    estimator = estimator_of(fsdp=4, tensor=2)
    estimator.train(input_fn, max_steps=1)
    loaded = load_export(estimator.export(tmp_path / "export", input_fn=input_fn))
    answers = loaded("serving_default", x=X[:3])
    rows = list(estimator.predict(lambda: {"x": X[:3]}))
    expected = np.stack([row["logits"] for row in rows])
    # float32 sums over 8 shards, in another order.
    assert np.allclose(answers["logits"], expected, rtol=1e-5, atol=1e-6)
    estimator.close()
