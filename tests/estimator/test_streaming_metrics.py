"""Streaming metrics: (value, state) pairs of a metric_fn, through evaluate."""

import jax
import numpy as np
import optax
import pytest
import sklearn.metrics as sk

import specflow as sf
from specflow.config.sections.mesh import AxesConfig, MeshConfig

RNG = np.random.default_rng(3)
N = 27
X = RNG.standard_normal((N, 3)).astype(np.float32)
Y = (X[:, 0] + 0.5 * RNG.standard_normal(N) > 0).astype(np.int32)
WEIGHTS = (RNG.random(N) < 0.8).astype(np.float32)


def rows():
    return {"x": X, "weight": WEIGHTS}, Y


def metric_fn(labels, probability, weights):
    """As in TensorFlow, but for the name of the module."""
    called = (probability > 0.5).astype(np.int64)
    return {
        "accuracy": sf.tf.metrics.accuracy(labels, called, weights=weights),
        "precision": sf.tf.metrics.precision(labels, called, weights),
        "auc": sf.tf.metrics.auc(labels, probability, weights=weights),
        "exact_auc": sf.tf.metrics.auc(labels, probability, weights, formula="exact"),
        "rmse": sf.tf.metrics.root_mean_squared_error(labels, probability),
        "at": sf.tf.metrics.recall_at_thresholds(labels, probability, [0.2, 0.5]),
        "nothing": sf.tf.metrics.mean(probability, weights=0.0),
    }


def model_fn(model, features, labels, mode):
    probability = jax.nn.sigmoid(model(features["x"]) + features["x"][:, 0])
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode, {"probability": probability})
    return sf.TPUEstimatorSpec(
        mode,
        {"probability": probability},
        ((probability - labels) ** 2).mean(),
        optax.sgd(0.1),
        (metric_fn, [labels, probability, features["weight"]]),
    )


def expected() -> dict[str, float]:
    """scikit-learn's; w is 0, so the probability is the sigmoid of the first column."""
    probability = 1.0 / (1.0 + np.exp(-X[:, 0].astype(np.float64)))
    given = {"sample_weight": WEIGHTS}
    return {
        "accuracy": sk.accuracy_score(Y, probability > 0.5, **given),
        "precision": sk.precision_score(Y, probability > 0.5, **given),
        "exact_auc": sk.roc_auc_score(Y, probability, **given),
        "rmse": np.sqrt(((probability - Y) ** 2).mean()),
        "nothing": 0.0,
    }


@pytest.mark.parametrize("batch", [8, 16])
@pytest.mark.parametrize("devices", [1, 8])
def test_pairs_are_merged_over_ragged_batches_on_every_mesh(line, devices, batch):
    estimator = line(
        model_fn,
        mesh=MeshConfig(axes=AxesConfig(data=devices)),
        eval_batch_size=batch,
    )
    result = estimator.evaluate(rows)
    for name, value in expected().items():
        # The probability is float32 on the device, float64 here.
        assert result[name] == pytest.approx(value, rel=1e-6), name
    # 200 thresholds tell 27 rows apart but for a few ties.
    assert result["auc"] == pytest.approx(result["exact_auc"], abs=0.02)
    assert np.shape(result["at"]) == (2,)


def test_as_estimator_spec_holds_the_pairs_with_the_value_of_the_batch():
    probability = np.linspace(0.05, 0.95, N).astype(np.float32)
    spec = sf.TPUEstimatorSpec(
        "eval",
        loss=np.float32(0.0),
        eval_metrics=(metric_fn, [Y, probability, WEIGHTS]),
    )
    value, state = spec.as_estimator_spec().eval_metric_ops["accuracy"]
    assert value == state.compute() == metric_fn(Y, probability, WEIGHTS)["accuracy"][0]
