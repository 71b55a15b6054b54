"""Metrics declared by configs equal metrics built in Python."""

import inspect
import typing

import numpy as np
import pytest

from specflow import metrics as m
from specflow.config.base import Config, Target
from specflow.config.sections import metrics as c
from specflow.diagnostics.errors import ConfigError, DataError
from specflow.tf import metrics as tf_metrics

RNG = np.random.default_rng(5)
LABELS = RNG.integers(0, 3, 30)
BINARY = LABELS % 2
CLASSES = RNG.integers(0, 3, 30)
SCORES = RNG.standard_normal((30, 3))
WEIGHTS = RNG.random(30)
LOSSES = RNG.random(30)
PROBABILITIES = RNG.random(30)
TENSORS = {
    "features.weight": WEIGHTS,
    "labels": LABELS,
    "labels.binary": BINARY,
    "labels.vector": SCORES[::-1],
    "losses.token": LOSSES,
    "outputs": SCORES,
    "outputs.value": SCORES[:, 0],
    "predictions.class": CLASSES,
    "predictions.positive": CLASSES % 2,
    "predictions.probability": PROBABILITIES,
}
PREDICTED = {"predictions": "predictions.class", "weights": "features.weight"}
VALUE = {"predictions": "outputs.value", "weights": "features.weight"}
BOTH = (LABELS, CLASSES, WEIGHTS)
ERRORS = (LABELS, SCORES[:, 0], WEIGHTS)


def more(name, **fields):
    """A config of the ones that are imported when they are met."""
    return typing.get_args(c.MetricConfig)[1].members[name](**fields)


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
        more("precision", average="macro", **PREDICTED),
        m.Precision.from_batch(*BOTH, average="macro"),
    ),
    "recall": (
        more("recall", labels="labels.binary", predictions="predictions.positive"),
        m.Recall.from_batch(BINARY, CLASSES % 2),
    ),
    "f1": (
        more(
            "f1",
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
        more("auc", labels="labels.binary", scores="outputs.value", undefined=0.0),
        m.AUC.from_batch(BINARY, SCORES[:, 0], undefined=0.0),
    ),
    "mse": (more("mse", **VALUE), m.MSE.from_batch(*ERRORS)),
    "rmse": (more("rmse", **VALUE), m.RMSE.from_batch(*ERRORS)),
    "mae": (more("mae", **VALUE), m.MAE.from_batch(*ERRORS)),
    "r2": (more("r2", **VALUE), m.R2.from_batch(*ERRORS)),
    "perplexity": (
        more("perplexity", losses="losses.token"),
        m.Perplexity.from_batch(LOSSES),
    ),
    "bits_per_byte": (
        more("bits_per_byte", losses="losses.token", bytes_per_token=4.3),
        m.BitsPerByte.from_batch(LOSSES, bytes_per_token=4.3),
    ),
}


AT_K = {"scores": "outputs", "k": 2, "weights": "features.weight"}
TOP = m.top_classes(SCORES, k=2)
SCORED = {
    "labels": "labels.binary",
    "scores": "predictions.probability",
    "weights": "features.weight",
}
PROBABLE = (BINARY, PROBABILITIES, WEIGHTS)
VECTORS = {"labels": "labels.vector", "predictions": "outputs"}

DECLARED |= {
    "sum": (more("sum", values="losses.token"), m.Sum.from_batch(LOSSES)),
    "mean_tensor": (
        more("mean_tensor", values="outputs", undefined=1.0),
        m.MeanTensor.from_batch(SCORES, undefined=1.0),
    ),
    "iou": (
        more("iou", average="macro", **PREDICTED),
        m.IoU.from_batch(*BOTH, average="macro"),
    ),
    "per_class_accuracy": (
        more("per_class_accuracy", classes=4, undefined=0.0, **PREDICTED),
        m.PerClassAccuracy.from_batch(*BOTH, classes=4, undefined=0.0),
    ),
    "cosine_distance": (
        more("cosine_distance", **VECTORS),
        m.CosineDistance.from_batch(SCORES[::-1], SCORES),
    ),
    "relative_error": (
        more("relative_error", **VALUE),
        m.RelativeError.from_batch(*ERRORS, normalizer=LABELS),
    ),
    "average_precision_at_k": (
        more("average_precision_at_k", **AT_K),
        m.AveragePrecisionAtK.from_batch(LABELS, TOP, WEIGHTS),
    ),
    "precision_at_k": (
        more("precision_at_k", class_id=1, **AT_K),
        m.PrecisionAtK.from_batch(LABELS, TOP, WEIGHTS, class_id=1),
    ),
    "recall_at_k": (
        more("recall_at_k", **AT_K),
        m.RecallAtK.from_batch(LABELS, TOP, WEIGHTS),
    ),
    "threshold_counts": (
        more("threshold_counts", thresholds=[0.7, 0.2], read="recalls", **SCORED),
        tf_metrics.recall_at_thresholds(BINARY, PROBABILITIES, [0.7, 0.2], WEIGHTS)[1],
    ),
    "bucketed_auc": (
        more("bucketed_auc", curve="PR", num_thresholds=50, **SCORED),
        tf_metrics.auc(*PROBABLE, 50, curve="PR")[1],
    ),
    "sensitivity_at_specificity": (
        more("sensitivity_at_specificity", specificity=0.6, **SCORED),
        tf_metrics.sensitivity_at_specificity(BINARY, PROBABILITIES, 0.6, WEIGHTS)[1],
    ),
    "specificity_at_sensitivity": (
        more("specificity_at_sensitivity", sensitivity=0.6, **SCORED),
        tf_metrics.specificity_at_sensitivity(BINARY, PROBABILITIES, 0.6, WEIGHTS)[1],
    ),
}

FROM_SCORES = {
    "average_precision_at_k",
    "bucketed_auc",
    "precision_at_k",
    "recall_at_k",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
}
"""Configs that say more than their state takes: the list or the cuts are made first."""

NO_NAME = {
    "Metric": "what a state is",
    "State": "what a state is",
    "MetricTable": "where states are merged",
}
"""Public classes of the room that no config declares, and why."""


def evaluate(config: Config):
    metric_fn, paths = m.build_metric_fn({"it": config})
    table = m.MetricTable()
    for rows in (slice(0, 11), slice(11, 30)):
        table.update(metric_fn(**{path: TENSORS[path][rows] for path in paths}))
    return table.compute()["it"]


def test_every_declared_metric_has_a_case_here():
    _, kinds = typing.get_args(c.MetricConfig)
    assert {*kinds.members.values()} - {Target} == {
        type(config) for config, _ in DECLARED.values()
    }


def test_every_state_has_a_name_in_yaml():
    """Law: whatever can be computed in Python can be declared."""
    public = {name for name in m.__all__ if isinstance(getattr(m, name), type)}
    tried = {type(state).__name__ for _, state in DECLARED.values()}
    assert public - set(NO_NAME) == tried


@pytest.mark.parametrize("name", sorted(set(DECLARED) - FROM_SCORES))
def test_the_fields_of_a_config_are_the_arguments_of_its_state(name):
    """Names and defaults: a keyword that the state takes can be said in YAML."""
    config, state = DECLARED[name]
    fields = {key: field for key, field in type(config).model_fields.items()}
    del fields["name"]
    taken = inspect.signature(type(state).from_batch).parameters
    assert fields.keys() == taken.keys()
    for key, parameter in taken.items():
        if parameter.default is not parameter.empty:
            assert fields[key].default == parameter.default


@pytest.mark.parametrize("name", DECLARED)
def test_every_metric_takes_weights(name):
    assert "weights" in type(DECLARED[name][0]).model_fields


@pytest.mark.parametrize("name", DECLARED)
def test_is_number_matches_the_value(name):
    config, state = DECLARED[name]
    assert config.is_number == (np.ndim(state.compute()) == 0)


def test_an_undefined_value_is_nan_unless_the_config_sets_it():
    """TensorFlow's 0 is one keyword away."""
    nobody = np.zeros(3, int)
    for undefined, expected in ((None, np.nan), (0.0, 0.0)):
        config = more("precision", predictions="predictions.class", undefined=undefined)
        metric_fn, _ = m.build_metric_fn({"it": config})
        state = metric_fn(**{"labels": nobody + 1, "predictions.class": nobody})["it"]
        np.testing.assert_equal(state.compute(), expected)


@pytest.mark.parametrize("name", DECLARED)
def test_a_declared_metric_is_the_metric(name):
    config, state = DECLARED[name]
    np.testing.assert_array_equal(evaluate(config), state.compute())


def test_key_paths_are_sorted_and_unique():
    metric_fn, paths = m.build_metric_fn(
        {
            "b": c.AccuracyConfig(predictions="predictions.class"),
            "a": c.TopKConfig(scores="outputs", k=2, weights="features.weight"),
        }
    )
    assert paths == ("features.weight", "labels", "outputs", "predictions.class")
    assert list(metric_fn(**{path: TENSORS[path] for path in paths})) == ["b", "a"]


def test_no_declared_metric_needs_no_tensor():
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


def test_a_users_function_is_called():
    target = bound(
        largest_margin, scores="outputs", weights="features.weight", note="labelled"
    )
    expected = np.average(np.ptp(SCORES, axis=-1), weights=WEIGHTS)
    # 30 rows, rounded each time by the reference.
    assert evaluate(target) == pytest.approx(expected, rel=1e-14)


def test_an_unresolved_target_raises():
    with pytest.raises(ConfigError) as caught:
        m.build_metric_fn({"share": Target(_target_="my_package.Share")})
    assert str(caught.value) == (
        "my_package.Share: was not resolved. Compose the experiment with "
        "specflow.compose.compose(), which resolves targets inside the trusted "
        "packages."
    )


def test_errors_have_the_declared_name_of_the_metric():
    config = c.AccuracyConfig(predictions="predictions.class")
    metric_fn, _ = m.build_metric_fn({"right": config})
    with pytest.raises(DataError) as caught:
        metric_fn(**{"labels": LABELS, "predictions.class": SCORES[:, 0] * 0 + 0.5})
    assert str(caught.value) == (
        "spec.eval_metrics.right: predictions hold 0.5 (30 of 30 values). Expected "
        "class indices. Take the argmax of scores; compare a probability with a "
        "threshold."
    )
