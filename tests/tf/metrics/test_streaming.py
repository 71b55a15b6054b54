"""tf.metrics' means and class metrics against TF's documented formulas in NumPy."""

import math

import numpy as np
import pytest
import sklearn.metrics as sk

from specflow.metrics import IoU
from specflow.tf import metrics as m

RNG = np.random.default_rng(11)
N = 60
VALUES = RNG.standard_normal(N)
TARGETS, GUESSES = RNG.standard_normal((2, N))
CLASSES, CHOSEN = RNG.integers(0, 4, (2, N))
TRUTH, CALLED = RNG.integers(0, 2, (2, N))
WEIGHTS = RNG.random(N) * (RNG.random(N) < 0.8)
WEIGHTINGS = pytest.mark.parametrize(
    "weights", [None, WEIGHTS], ids=["plain", "weighted"]
)


def close(value):
    # Both sides are float64; ours rounds once, NumPy at each of 60 additions.
    return pytest.approx(value, rel=1e-12, abs=1e-15, nan_ok=True)


def streamed(function, *tensors, weights=None, **arguments):
    """The value after batches of 7, having seen that one batch gives the same."""
    state = None
    for start in range(0, N, 7):
        rows = slice(start, start + 7)
        given = {} if weights is None else {"weights": weights[rows]}
        _, more = function(*(each[rows] for each in tensors), **given, **arguments)
        state = more if state is None else state.merge(more)
    value, whole = function(*tensors, weights=weights, **arguments)
    assert value == whole.compute() == state.compute()
    return value


def weighted_mean(values, weights):
    """TF: sum(w v) / sum(w)."""
    weights = np.ones(len(values)) if weights is None else weights
    return (values * weights).sum() / weights.sum()


@WEIGHTINGS
def test_means_are_those_of_tensorflow(weights):
    error = GUESSES - TARGETS
    squared = weighted_mean(error**2, weights)
    for function, tensors, expected in (
        (m.mean, (VALUES,), weighted_mean(VALUES, weights)),
        (m.mean_squared_error, (TARGETS, GUESSES), squared),
        (m.root_mean_squared_error, (TARGETS, GUESSES), math.sqrt(squared)),
        (m.mean_absolute_error, (TARGETS, GUESSES), weighted_mean(abs(error), weights)),
    ):
        assert streamed(function, *tensors, weights=weights) == close(expected)


@WEIGHTINGS
def test_relative_error_is_that_of_tensorflow_and_zero_where_the_normalizer_is(weights):
    normalizer = np.where(np.arange(N) % 5, np.linspace(-2, 3, N), 0.0)
    safe = np.where(normalizer == 0.0, 1.0, normalizer)
    errors = np.where(normalizer == 0.0, 0.0, abs(TARGETS - GUESSES) / safe)
    ours = streamed(
        m.mean_relative_error, TARGETS, GUESSES, normalizer, weights=weights
    )
    assert ours == close(weighted_mean(errors, weights))


@WEIGHTINGS
def test_percentage_below_is_a_fraction_that_excludes_the_threshold(weights):
    values = np.round(VALUES, 1)
    ours = streamed(m.percentage_below, values, threshold=0.1, weights=weights)
    assert ours == close(weighted_mean(values < 0.1, weights))
    # By hand: in float32, 0.1 is the same number on both sides.
    assert m.percentage_below(np.array([0.1], np.float32), 0.1)[0] == 0.0


@WEIGHTINGS
def test_cosine_distance_is_one_less_the_mean_inner_product(weights):
    labels, predictions = RNG.standard_normal((2, N, 3))
    labels /= np.linalg.norm(labels, axis=1, keepdims=True)
    predictions /= np.linalg.norm(predictions, axis=1, keepdims=True)
    expected = 1.0 - weighted_mean((labels * predictions).sum(1), weights)
    column = None if weights is None else weights[:, None]
    for given in (weights, column):
        ours = streamed(
            m.mean_cosine_distance, labels, predictions, dim=1, weights=given
        )
        assert ours == close(expected)
    assert m.mean_cosine_distance(labels, predictions, -1, weights)[0] == ours


def test_cosine_distance_along_an_inner_axis():
    labels, predictions = RNG.standard_normal((2, 4, 3, 5))
    weights = RNG.random((4, 1, 5))
    inner = (labels * predictions).sum(1, keepdims=True)
    expected = 1.0 - (inner * weights).sum() / weights.sum()
    ours = m.mean_cosine_distance(labels, predictions, 1, weights)[0]
    assert ours == close(expected)


def test_mean_tensor_is_the_mean_over_batches_of_each_element():
    batches = RNG.standard_normal((5, 4, 2))
    weights = RNG.integers(0, 3, (5, 4, 1)).astype(float)
    weights[:, 0] = 0.0
    _, state = m.mean_tensor(batches[0], weights[0])
    for batch, weight in zip(batches[1:], weights[1:], strict=True):
        state = state.merge(m.mean_tensor(batch, weight)[1])
    counts = np.broadcast_to(weights.sum(0), (4, 2))
    totals = (batches * weights).sum(0)
    # TF: 0 for an element that was always masked.
    expected = np.where(counts > 0, totals / np.where(counts > 0, counts, 1), 0.0)
    np.testing.assert_allclose(state.compute(), expected, rtol=1e-12)


@WEIGHTINGS
def test_accuracy_is_that_of_scikit_learn(weights):
    expected = sk.accuracy_score(CLASSES, CHOSEN, sample_weight=weights)
    assert streamed(m.accuracy, CLASSES, CHOSEN, weights=weights) == close(expected)


def test_accuracy_casts_predictions_to_the_type_of_the_labels():
    # By hand: 1.7 is class 1 beside integers; 0.3 is true beside bool.
    scores = np.array([0.3, 1.7, 0.0, 2.0])
    assert m.accuracy(np.array([0, 1, 1, 2]), scores)[0] == 0.75
    assert m.accuracy(np.array([True, False, False, True]), scores)[0] == 0.75
    assert m.accuracy(np.array([0.3, 1.0, 0.0, 2.0]), scores)[0] == 0.75


@WEIGHTINGS
def test_precision_and_recall_are_those_of_scikit_learn(weights):
    for ours, theirs in (
        (m.precision, sk.precision_score),
        (m.recall, sk.recall_score),
    ):
        expected = theirs(TRUTH, CALLED, sample_weight=weights)
        assert streamed(ours, TRUTH, CALLED, weights=weights) == close(expected)


def test_precision_and_recall_count_nonzero_as_positive():
    # By hand: positives are rows 0 to 2, predicted are 1 to 4, both 1 and 2.
    labels, predictions = np.array([2, -1, 1, 0, 0]), np.array([0, 0.1, 5, 0.5, -3])
    assert m.precision(labels, predictions)[0] == 0.5
    assert m.recall(labels, predictions)[0] == 2 / 3


@WEIGHTINGS
def test_the_four_counts_are_the_confusion_matrix_of_scikit_learn(weights):
    matrix = sk.confusion_matrix(TRUTH, CALLED, sample_weight=weights)
    ours = [
        [
            streamed(function, TRUTH, CALLED, weights=weights)
            for function in (first, second)
        ]
        for first, second in (
            (m.true_negatives, m.false_positives),
            (m.false_negatives, m.true_positives),
        )
    ]
    np.testing.assert_allclose(ours, matrix, rtol=1e-12)


@WEIGHTINGS
def test_mean_per_class_accuracy_is_the_mean_recall_absent_classes_as_zero(weights):
    recalls = sk.recall_score(CLASSES, CHOSEN, average=None, sample_weight=weights)
    arguments = {"num_classes": 6, "weights": weights}
    ours = streamed(m.mean_per_class_accuracy, CLASSES, CHOSEN, **arguments)
    assert ours == close(recalls.sum() / 6)
    ours = streamed(
        m.mean_per_class_accuracy, CLASSES, CHOSEN, undefined=None, **arguments
    )
    balanced = sk.balanced_accuracy_score(CLASSES, CHOSEN, sample_weight=weights)
    assert ours == close(balanced)


def test_mean_per_class_accuracy_accepts_predictions_outside_of_the_classes():
    labels, predictions = np.array([0, 1]), np.array([7, 1])
    assert m.mean_per_class_accuracy(labels, predictions, 2)[0] == 0.5


@WEIGHTINGS
def test_mean_iou_is_the_mean_jaccard_score_absent_classes_left_out(weights):
    expected = sk.jaccard_score(CLASSES, CHOSEN, average="macro", sample_weight=weights)
    ours = streamed(m.mean_iou, CLASSES, CHOSEN, num_classes=9, weights=weights)
    assert ours == close(expected)


@WEIGHTINGS
@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_iou_is_the_jaccard_score_of_scikit_learn(average, weights):
    ours = IoU.from_batch(CLASSES, CHOSEN, weights, average=average).compute()
    expected = sk.jaccard_score(CLASSES, CHOSEN, average=average, sample_weight=weights)
    assert ours == close(expected)


# -- nothing to divide by, weights and shapes


ZERO = np.zeros(2)
NOTHING = {
    "mean": (m.mean, (ZERO,), 0.0),
    "mean_squared_error": (m.mean_squared_error, (ZERO, ZERO), 0.0),
    "root_mean_squared_error": (m.root_mean_squared_error, (ZERO, ZERO), 0.0),
    "mean_absolute_error": (m.mean_absolute_error, (ZERO, ZERO), 0.0),
    "mean_relative_error": (m.mean_relative_error, (ZERO, ZERO, ZERO), 0.0),
    "mean_cosine_distance": (m.mean_cosine_distance, (ZERO[None], ZERO[None], 1), 1.0),
    "percentage_below": (m.percentage_below, (ZERO, 1.0), 0.0),
    "accuracy": (m.accuracy, (ZERO, ZERO), 0.0),
    "precision": (m.precision, (ZERO, ZERO), 0.0),
    "recall": (m.recall, (ZERO, ZERO), 0.0),
    "mean_per_class_accuracy": (m.mean_per_class_accuracy, (ZERO, ZERO, 3), 0.0),
    "mean_iou": (m.mean_iou, (ZERO, ZERO, 3), 0.0),
}


@pytest.mark.parametrize("name", NOTHING)
def test_zero_division_is_the_value_of_tensorflow_or_nan_by_keyword(name):
    function, tensors, expected = NOTHING[name]
    assert function(*tensors, weights=0.0)[0] == expected
    value, state = function(*tensors, weights=0.0, undefined=None)
    assert math.isnan(value)
    assert math.isnan(state.merge(state).compute())


def test_nan_among_the_values_is_not_zero_division():
    assert math.isnan(m.mean(np.array([1.0, np.nan]))[0])


@pytest.mark.parametrize(
    "weights",
    [2.0, [[1.0], [3.0]], [1.0, 3.0], [[0.5, 0.0, 2.0]], np.arange(6).reshape(2, 3, 1)],
    ids=["scalar", "column", "one short", "row", "one long"],
)
def test_weights_broadcast_as_numpy_does_once_the_last_axis_is_there(weights):
    values = RNG.standard_normal((2, 3))
    full = np.asarray(weights)
    if full.shape == (2,):
        full = full[:, None]
    full = np.broadcast_to(full.reshape(full.shape[:2]), (2, 3))
    expected = (values * full).sum() / full.sum()
    assert m.mean(values, weights)[0] == close(expected)
    assert m.true_positives(values > 0, values > 0, weights)[0] == close(
        ((values > 0) * full).sum()
    )


def test_a_last_axis_of_size_one_is_squeezed():
    for labels, predictions in (
        (CLASSES[:, None], CHOSEN),
        (CLASSES, CHOSEN[:, None]),
        (CLASSES[:, None], CHOSEN[:, None]),
    ):
        value = m.accuracy(labels, predictions, WEIGHTS)[0]
        assert value == m.accuracy(CLASSES, CHOSEN, WEIGHTS)[0]


def test_float32_totals_do_not_stop_at_2_to_the_24():
    """TF adds 1 to a float32 total, which 2^24 swallows; here counts are exact."""
    _, many = m.true_positives(np.ones(1), np.ones(1), weights=2.0**24)
    _, one = m.true_positives(np.ones(1), np.ones(1))
    assert many.merge(one).compute() == 2.0**24 + 1.0


def test_every_streaming_function_is_exported_with_a_docstring_and_an_example():
    for name in m.__all__:
        function = getattr(m, name)
        assert function is getattr(m, name)
        assert ">>>" in function.__doc__
        assert name in m.__all__
