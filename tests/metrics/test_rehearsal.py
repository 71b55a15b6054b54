"""Metrics tried before training: refused is what the metric itself refuses of rows.

The ground truth is the metric on a batch of real rows: what it refuses, and with which
words, must be found beforehand; what it takes must not be refused.
"""

import numpy as np
import pytest

from specflow.diagnostics.errors import DataError
from specflow.metrics import build_metric_fn, metric_diagnostics
from tests.metrics.test_declared import DECLARED, TENSORS, c, more

VALUES = {
    path: np.unique(TENSORS[path]) for path in ("labels", "labels.binary")
}  # fmt: skip


@pytest.mark.parametrize("name", DECLARED)
def test_valid_shapes_have_no_diagnostics(name):
    config, _ = DECLARED[name]
    assert metric_diagnostics({name: config}, TENSORS, VALUES) == []


WRONG = {
    "auc of three scores": more("auc", labels="labels.binary", scores="outputs"),
    "auc of three classes": more("auc", scores="outputs.value"),
    "errors of three outputs": more("mse", predictions="outputs"),
    "a matrix of two classes": c.ConfusionMatrixConfig(
        predictions="predictions.class", classes=2
    ),
    "two voices for three classes": more(
        "per_class_accuracy", predictions="predictions.class", classes=2
    ),
    "binary f1 of three classes": more("f1", predictions="predictions.class"),
    "binary iou of three classes": more("iou", predictions="predictions.class"),
    "the four best of three": c.TopKConfig(scores="outputs", k=4),
}


@pytest.mark.parametrize("what", WRONG)
def test_errors_of_the_first_evaluation_are_found_before_training(what):
    config = WRONG[what]
    metric_fn, paths = build_metric_fn({"it": config})
    with pytest.raises(DataError) as real:
        metric_fn(**{path: TENSORS[path] for path in paths})
    (diagnostic,) = metric_diagnostics({"it": config}, TENSORS, VALUES)
    (expected,) = real.value.diagnostics
    assert diagnostic.where == expected.where == "spec.eval_metrics.it"
    assert diagnostic.code == expected.code
    assert diagnostic.expected == expected.expected
    # Before training the metric can still be left out.
    leave_it_out = "Change the metric, or leave it out: ~spec.eval_metrics.it."
    without_hint = expected.code == "metric-values" and not expected.hint
    assert diagnostic.hint == (leave_it_out if without_hint else expected.hint)
    assert (
        diagnostic.problem.replace("[b", "[30").split(" (")[0]
        == (expected.problem.split(" (")[0])
    )


def test_binary_classes_need_not_be_zero_and_one():
    """Classes 1 and 2 alone: the tried rows may bring no third one in."""
    config = more("f1", predictions="predictions.class", positive=2)
    values = {"labels": np.array([1, 2])}
    assert metric_diagnostics({"it": config}, TENSORS, values) == []


def test_labels_of_weight_0_may_have_any_value():
    config = c.ConfusionMatrixConfig(
        predictions="predictions.class", classes=2, weights="features.weight"
    )
    assert metric_diagnostics({"it": config}, TENSORS, VALUES) == []
