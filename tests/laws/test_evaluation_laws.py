"""Evaluation of N rows gives the same numbers for every batch size and mesh."""

import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.metrics import Accuracy, ConfusionMatrix, Mean

N = 40
RNG = np.random.default_rng(7)
X = RNG.standard_normal((N, 5)).astype(np.float32)
LABELS = RNG.integers(0, 3, N).astype(np.int32)
WEIGHTS = RNG.standard_normal((5, 3)).astype(np.float32)

ROUNDING = 1e-6
"""Relative. A loss of a row is made of five float32 products, an exponential and a
logarithm, whose rounding (6e-8 each) depends on how XLA vectorizes a batch of that
size; sums over rows are exact or in float64. Expected values: NumPy in float64."""


class Affine(nnx.Module):
    def __init__(self):
        self.kernel = nnx.Param(WEIGHTS)

    def __call__(self, x):
        return x @ self.kernel[...]


def metric_fn(labels, classes, losses):
    return {
        "accuracy": Accuracy.from_batch(labels, classes),
        "confusion": ConfusionMatrix.from_batch(labels, classes, classes=3),
        "nll": Mean.from_batch(losses),
    }


def spec(model, features, labels, mode, mask=None):
    logits = model(features["x"])
    classes = logits.argmax(-1)
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode, {"class": classes, "logits": logits})
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return sf.TPUEstimatorSpec(
        mode,
        loss=losses.mean(where=mask),
        train_op=optax.sgd(0.1),
        eval_metrics=(
            metric_fn,
            {"labels": labels, "classes": classes, "losses": losses},
        ),
    )


def without_mask(model, features, labels, mode):
    return spec(model, features, labels, mode)


def with_mask(model, features, labels, mode, mask):
    return spec(model, features, labels, mode, mask)


def expected(rows):
    """Loss and metrics over the first rows, by their definitions in float64."""
    logits = X[:rows].astype(np.float64) @ WEIGHTS.astype(np.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(-1)) - shifted[np.arange(rows), LABELS[:rows]]
    classes = logits.argmax(-1)
    confusion = np.zeros((3, 3), np.int64)
    np.add.at(confusion, (LABELS[:rows], classes), 1)
    return {
        "loss": losses.mean(),
        "nll": losses.mean(),
        "accuracy": (classes == LABELS[:rows]).mean(),
        "confusion": confusion,
    }


def new_estimator(model_fn, *, batch, devices, directory):
    return sf.TPUEstimator(
        model_fn,
        model=Affine(),
        model_dir=directory,
        train_batch_size=8,
        eval_batch_size=batch,
        mesh=MeshConfig(axes=AxesConfig(data=devices)),
    )


def check(metrics, rows):
    wanted = expected(rows)
    assert metrics["accuracy"] == wanted["accuracy"]  # Counts: equal, not nearly.
    np.testing.assert_array_equal(metrics["confusion"], wanted["confusion"])
    assert metrics["nll"] == pytest.approx(wanted["nll"], rel=ROUNDING)
    assert metrics["loss"] == pytest.approx(wanted["loss"], rel=ROUNDING)
    assert metrics["global_step"] == 0


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 8, 16, 39, 40, 41, 64])
def test_every_number_of_rows_is_evaluated_exactly(batch, new_dir):
    """With a mask: every N from 1 to 40 in every batch size, one program each."""
    estimator = new_estimator(with_mask, batch=batch, devices=1, directory=new_dir())
    for rows in range(1, N + 1):
        check(estimator.evaluate(lambda n=rows: ({"x": X[:n]}, LABELS[:n])), rows)
    assert estimator.program.tracer.traces == {sf.Mode.EVAL: 1}
    estimator.close()


@pytest.mark.parametrize(("devices", "batch"), [(2, 2), (2, 6), (8, 8), (8, 24)])
def test_evaluation_is_exact_on_any_number_of_devices(devices, batch, new_dir):
    estimator = new_estimator(
        with_mask, batch=batch, devices=devices, directory=new_dir()
    )
    for rows in range(1, N + 1):
        check(estimator.evaluate(lambda n=rows: ({"x": X[:n]}, LABELS[:n])), rows)
    estimator.close()


@pytest.mark.parametrize(("devices", "batch"), [(1, 1), (1, 7), (2, 4), (8, 16)])
def test_evaluation_is_exact_without_a_mask_argument(devices, batch, new_dir):
    """The remainder has its own size, also one that the mesh does not divide."""
    estimator = new_estimator(
        without_mask, batch=batch, devices=devices, directory=new_dir()
    )
    for rows in (1, 2, 5, 13, 16, 37, 40):
        check(estimator.evaluate(lambda n=rows: ({"x": X[:n]}, LABELS[:n])), rows)
    estimator.close()


@pytest.mark.parametrize("model_fn", [with_mask, without_mask])
@pytest.mark.parametrize(("devices", "batch"), [(1, 1), (1, 7), (1, 64), (8, 16)])
def test_predict_gives_every_row_once_in_order(model_fn, devices, batch, new_dir):
    estimator = new_estimator(
        model_fn, batch=batch, devices=devices, directory=new_dir()
    )
    logits = X.astype(np.float64) @ WEIGHTS.astype(np.float64)
    for rows in (1, 8, 37):
        predictions = list(estimator.predict(lambda n=rows: {"x": X[:n]}))
        assert len(predictions) == rows
        stacked = np.stack([row["logits"] for row in predictions])
        # A sum of five float32 products; logits are of size 1.
        np.testing.assert_allclose(stacked, logits[:rows], atol=1e-5)
        assert [row["class"] for row in predictions] == list(logits[:rows].argmax(-1))
    estimator.close()


@pytest.mark.parametrize("model_fn", [with_mask, without_mask])
def test_steps_limits_batches_and_the_loss_is_the_mean_over_their_rows(
    model_fn, new_dir
):
    estimator = new_estimator(model_fn, batch=16, devices=1, directory=new_dir())

    def input_fn():
        return {"x": X}, LABELS

    check(estimator.evaluate(input_fn, steps=2), 32)
    check(estimator.evaluate(input_fn, steps=3), 40)
    check(estimator.evaluate(input_fn, steps=9), 40)
    estimator.close()
