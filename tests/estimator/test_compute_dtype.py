"""Mixed precision from Python and YAML: layers compute in 16 bits, all else in 32."""

import jax
import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.compose import compose
from specflow.data import ArraySource
from specflow.metrics import Mean

X = np.random.default_rng(0).standard_normal((64, 6)).astype(np.float32)
Y = X.sum(-1)


def model_fn(model, features, labels, mode):
    value = model(features["x"])[:, 0]
    predictions = {"value": value, "x": features["x"]}
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode, predictions)
    losses = (value.astype(np.float32) - labels) ** 2
    return sf.TPUEstimatorSpec(
        mode,
        predictions,
        losses.mean(),
        optax.adam(1e-2),
        (lambda losses: {"mse": Mean.from_batch(losses)}, [losses]),
    )


def estimator(folder, **settings):
    return sf.Estimator(
        model_fn,
        model=lambda rngs: nnx.Sequential(
            nnx.Linear(6, 16, rngs=rngs), nnx.tanh, nnx.Linear(16, 1, rngs=rngs)
        ),
        model_dir=folder,
        train_batch_size=16,
        config=sf.RunConfig(tpu_config=sf.TPUConfig(**settings)),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Trained in bfloat16, and in float32."""
    made = []
    for dtype in ("bfloat16", None):
        own = estimator(tmp_path_factory.mktemp("run"), compute_dtype=dtype)
        made.append(own.train(lambda: ({"x": X}, Y), max_steps=100))
    return made


def test_parameters_and_optimizer_state_stay_float32(trained):
    state = trained[0].abstract_state(ArraySource({"x": X}, Y))
    kept = {str(leaf.dtype) for leaf in jax.tree.leaves(state)}
    assert "float32" in kept
    assert "bfloat16" not in kept


def test_every_mode_computes_in_it_and_features_are_as_they_came(trained):
    half, full = ([*own.predict(lambda: {"x": X})] for own in trained)
    assert {row["value"].dtype for row in half} == {np.dtype("bfloat16")}
    assert {row["value"].dtype for row in full} == {np.dtype("float32")}
    np.testing.assert_array_equal([row["x"] for row in half], X)


def test_it_learns_as_float32_does_to_the_rounding_of_its_eight_bits(trained):
    half, full = (own.evaluate(lambda: ({"x": X}, Y))["mse"] for own in trained)
    # Of a variance of 6: both have learned most, and are alike.
    assert full < 1.5
    assert half == pytest.approx(full, abs=0.1)


def test_compute_dtype_in_yaml_applies_to_models_without_their_own(tmp_path):
    def activations(*overrides):
        composed = compose(["experiment=digits_mlp", *overrides])
        net = sf.Estimator.from_config(composed.config, model_dir=tmp_path)
        model = net.program.model
        image = np.zeros((2, 8, 8, 1), np.float32)
        out, _ = jax.eval_shape(
            lambda *state: model.call(lambda net: net(image), *state, train=False),
            model.abstract_params,
            model.abstract_model_state,
        )
        return out.dtype

    assert activations() == "float32"
    assert activations("loop.compute_dtype=bfloat16") == "bfloat16"
    assert activations("model.dtype=bfloat16") == "bfloat16"
    own = ["loop.compute_dtype=bfloat16", "model.dtype=float32"]
    assert activations(*own) == "float32"
