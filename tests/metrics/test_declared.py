"""Metrics declared by configs, against the same metrics made by hand."""

import typing

import numpy as np
import pytest

from specflow import metrics as m
from specflow.config import metrics as c
from specflow.config.base import Config, Target
from specflow.errors import ConfigError, DataError

RNG = np.random.default_rng(5)
LABELS = RNG.integers(0, 3, 30)
BINARY = LABELS % 2
CLASSES = RNG.integers(0, 3, 30)
SCORES = RNG.standard_normal((30, 3))
WEIGHTS = RNG.random(30)
LOSSES = RNG.random(30)
TENSORS = {
    "features.weight": WEIGHTS,
    "labels": LABELS,
    "labels.binary": BINARY,
    "losses.token": LOSSES,
    "outputs": SCORES,
    "outputs.value": SCORES[:, 0],
    "predictions.class": CLASSES,
    "predictions.positive": CLASSES % 2,
}
PREDICTED = {"predictions": "predictions.class", "weights": "features.weight"}
VALUE = {"predictions": "outputs.value", "weights": "features.weight"}
BOTH = (LABELS, CLASSES, WEIGHTS)
ERRORS = (LABELS, SCORES[:, 0], WEIGHTS)

DECLARED: dict[str, tuple[Config, m.Metric]] = {
    "mean": (
        c.MeanConfig(values="losses.token", weights="features.weight"),
        m.Mean.from_batch(LOSSES, WEIGHTS),
    ),
    "accuracy": (c.AccuracyConfig(**PREDICTED), m.Accuracy.from_batch(*BOTH)),
    "top_k": (
        c.TopKConfig(scores="outputs", k=2),
        m.TopK.from_batch(LABELS, SCORES, k=2),
    ),
    "precision": (
        c.PrecisionConfig(average="macro", **PREDICTED),
        m.Precision.from_batch(*BOTH, average="macro"),
    ),
    "recall": (
        c.RecallConfig(labels="labels.binary", predictions="predictions.positive"),
        m.Recall.from_batch(BINARY, CLASSES % 2),
    ),
    "f1": (
        c.F1Config(
            labels="labels.binary",
            predictions="predictions.positive",
            positive=0,
            undefined=0.0,
        ),
        m.F1.from_batch(BINARY, CLASSES % 2, positive=0, undefined=0.0),
    ),
    "confusion_matrix": (
        c.ConfusionMatrixConfig(classes=4, **PREDICTED),
        m.ConfusionMatrix.from_batch(*BOTH, classes=4),
    ),
    "auc": (
        c.AucConfig(labels="labels.binary", scores="outputs.value", undefined=0.0),
        m.AUC.from_batch(BINARY, SCORES[:, 0], undefined=0.0),
    ),
    "mse": (c.MseConfig(**VALUE), m.MSE.from_batch(*ERRORS)),
    "rmse": (c.RmseConfig(**VALUE), m.RMSE.from_batch(*ERRORS)),
    "mae": (c.MaeConfig(**VALUE), m.MAE.from_batch(*ERRORS)),
    "r2": (c.R2Config(**VALUE), m.R2.from_batch(*ERRORS)),
    "perplexity": (
        c.PerplexityConfig(losses="losses.token"),
        m.Perplexity.from_batch(LOSSES),
    ),
    "bits_per_byte": (
        c.BitsPerByteConfig(losses="losses.token", bytes_per_token=4.3),
        m.BitsPerByte.from_batch(LOSSES, bytes_per_token=4.3),
    ),
}


def evaluate(config: Config):
    metric_fn, paths = m.build_metric_fn({"it": config})
    table = m.MetricTable()
    for rows in (slice(0, 11), slice(11, 30)):
        table.update(metric_fn(**{path: TENSORS[path][rows] for path in paths}))
    return table.compute()["it"]


def test_every_declared_metric_is_tried_here():
    _, kinds = typing.get_args(c.MetricConfig)
    assert {*kinds.members.values()} - {Target} == {
        type(config) for config, _ in DECLARED.values()
    }


@pytest.mark.parametrize("name", DECLARED)
def test_a_declared_metric_is_the_metric(name):
    config, state = DECLARED[name]
    np.testing.assert_array_equal(evaluate(config), state.compute())


def test_the_key_paths_are_sorted_and_each_stands_once():
    metric_fn, paths = m.build_metric_fn(
        {
            "b": c.AccuracyConfig(predictions="predictions.class"),
            "a": c.TopKConfig(scores="outputs", k=2, weights="features.weight"),
        }
    )
    assert paths == ("features.weight", "labels", "outputs", "predictions.class")
    assert list(metric_fn(**{path: TENSORS[path] for path in paths})) == ["b", "a"]


def test_nothing_declared_needs_nothing():
    metric_fn, paths = m.build_metric_fn({})
    assert (metric_fn(), paths) == ({}, ())


class Share(m.Mean):
    """A user's metric: how often a label is one class."""

    @classmethod
    def from_batch(cls, labels, *, of):
        return cls(int((labels == of).sum()), len(labels))


def largest_margin(scores, weights=None, *, note):
    """A user's function that returns a pair."""
    assert note == "labelled"
    state = m.Mean.from_batch(np.ptp(scores, axis=-1), weights)
    return state.compute(), state


def bound(function, **arguments):
    target = Target(_target_="my_package.it", **arguments)
    target.bind(function)
    return target


def test_a_users_class_is_called_by_from_batch_with_tensors_and_constants():
    target = bound(Share, labels="labels", of=2)
    assert m.build_metric_fn({"share": target})[1] == ("labels",)
    assert evaluate(target) == np.mean(LABELS == 2)


def test_a_users_function_is_called_itself():
    target = bound(
        largest_margin, scores="outputs", weights="features.weight", note="labelled"
    )
    expected = np.average(np.ptp(SCORES, axis=-1), weights=WEIGHTS)
    # 30 rows, rounded each time by the reference.
    assert evaluate(target) == pytest.approx(expected, rel=1e-14)


def test_a_target_that_was_not_resolved_is_refused_at_once():
    with pytest.raises(ConfigError) as caught:
        m.build_metric_fn({"share": Target(_target_="my_package.Share")})
    assert str(caught.value) == (
        "my_package.Share: was not resolved. Compose the experiment with "
        "specflow.compose.compose(), which resolves targets inside the trusted "
        "packages."
    )


def test_a_metric_speaks_under_the_name_it_was_declared_with():
    config = c.AccuracyConfig(predictions="predictions.class")
    metric_fn, _ = m.build_metric_fn({"right": config})
    with pytest.raises(DataError) as caught:
        metric_fn(**{"labels": LABELS, "predictions.class": SCORES[:, 0] * 0 + 0.5})
    assert str(caught.value) == (
        "spec.eval_metrics.right: predictions hold 0.5 (30 of 30 values). Expected "
        "class numbers. Take the argmax of scores; hold a probability against a "
        "threshold."
    )
