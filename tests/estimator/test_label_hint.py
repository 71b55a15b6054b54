"""The hint of a loss of NaN: labels that are no class of the logits.

`optax.softmax_cross_entropy_with_integer_labels` gives NaN for a label of the number of
classes or more: `jnp.take_along_axis` fills with NaN what is out of bounds, by default.
"""

import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.diagnostics.errors import NanLossDuringTrainingError


class Net(nnx.Module):
    def __init__(self, rngs):
        self.layer = nnx.Linear(2, 3, rngs=rngs)

    def __call__(self, x):
        return self.layer(x)


def model_fn(model, features, labels, mode, params):
    logits = model(features["x"])
    label = labels["class"] if isinstance(labels, dict) else labels
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    tensors = {"scores": logits} if params["gives"] == "eval_metrics" else {"l": losses}
    return sf.TPUEstimatorSpec(
        mode,
        {"logits": logits, "probability": nnx.softmax(logits)}
        if params["gives"] == "predictions"
        else {"class": logits.argmax(-1)},
        loss=losses.mean(),
        train_op=optax.sgd(0.1),
        eval_metrics=(lambda **rows: {}, tensors),
    )


def message(folder, labels, gives="predictions", rows=24, x=1.0):
    estimator = sf.Estimator(
        model_fn, model=Net, model_dir=folder, train_batch_size=8,
        params={"gives": gives}, config=sf.RunConfig(shuffle=False),
    )  # fmt: skip
    features = {"x": np.full((rows, 2), x, np.float32)}
    with pytest.raises(NanLossDuringTrainingError) as failed:
        estimator.train(lambda: (features, labels), steps=3)
    return str(failed.value)


def bad_labels(value=7):
    labels = np.arange(24, dtype=np.int32) % 3
    labels[10] = value  # A row of step 2.
    return labels


@pytest.mark.parametrize(
    ("gives", "name"),
    [("predictions", "predictions.logits"), ("eval_metrics", "eval_metrics.scores")],
)
def test_labels_that_are_no_class_are_named_with_their_range(tmp_path, gives, name):
    assert message(tmp_path, bad_labels(), gives) == (
        "step 2: the loss, or a parameter after the update, is nan. Expected finite "
        "numbers. No checkpoint was written of it. Lower optimizer.lr, set "
        "optimizer.clip_norm, or look at the rows of that step. The newest one is "
        "of step 0. Those rows: estimator.rows_of_step(source, 2). Their labels are in "
        f"[0, 7], and {name} has 3 classes, 0 to 2."
    )


def test_labels_below_zero_are_named_too(tmp_path):
    labels = {"class": bad_labels(-1)}
    labels["class"][11] = 3
    reported = message(tmp_path, labels)
    assert "Their labels.class are in [-1, 3], and" in reported


@pytest.mark.parametrize("gives", ["predictions", "nothing"])
def test_valid_labels_and_unknown_logits_give_no_hint(tmp_path, gives):
    labels = bad_labels(2 if gives == "predictions" else 7)
    x = np.nan if gives == "predictions" else 1.0
    assert "classes" not in message(tmp_path, labels, gives, x=x)
