"""Values of whole sets against scikit-learn and NumPy in float64."""

import math

import ml_dtypes
import numpy as np
import pytest
import sklearn.metrics as sk

from specflow import metrics as m

RNG = np.random.default_rng(20)
N = 400
LABELS, PREDICTIONS = RNG.integers(0, 5, (2, N))
SCORES = RNG.standard_normal((N, 5))
WEIGHTS = RNG.random(N)
TARGETS = RNG.standard_normal(N)
GUESSES = TARGETS + 0.3 * RNG.standard_normal(N)
WEIGHTINGS = pytest.mark.parametrize(
    "weights", [None, WEIGHTS], ids=["plain", "weighted"]
)

# Both sides are float64; ours rounds once, the reference rounds every addition of 400.
TIGHT = 1e-13


def close(value):
    return pytest.approx(value, rel=TIGHT, abs=0.0, nan_ok=True)


@WEIGHTINGS
def test_mean_is_the_average_of_numpy(weights):
    ours = m.Mean.from_batch(TARGETS, weights).compute()
    assert ours == pytest.approx(np.average(TARGETS, weights=weights), rel=1e-12)


def test_mean_is_the_rounded_true_mean():
    # By hand: the ends cancel, three values are left with a sum of 3.
    assert m.Mean.from_batch(np.array([1e20, 3.0, -1e20])).compute() == 1.0


@WEIGHTINGS
def test_accuracy_is_that_of_scikit_learn(weights):
    ours = m.Accuracy.from_batch(LABELS, PREDICTIONS, weights).compute()
    assert ours == close(sk.accuracy_score(LABELS, PREDICTIONS, sample_weight=weights))


@WEIGHTINGS
def test_accuracy_of_scores_is_that_of_their_argmax(weights):
    ours = m.Accuracy.from_batch(LABELS, SCORES, weights).compute()
    assert ours == m.Accuracy.from_batch(LABELS, SCORES.argmax(-1), weights).compute()


def test_counts_without_weights_are_python_integers():
    state = m.Accuracy.from_batch(LABELS, PREDICTIONS)
    assert (type(state.total), type(state.count)) == (int, int)
    matrix = m.ConfusionMatrix.from_batch(LABELS, PREDICTIONS, classes=5)
    assert matrix.compute().dtype == np.int64
    precision = m.Precision.from_batch(LABELS, PREDICTIONS, average="micro")
    assert {type(count.hits) for count in precision.counts.values()} == {int}


@WEIGHTINGS
@pytest.mark.parametrize("k", [1, 2, 4])
def test_top_k_is_that_of_scikit_learn(k, weights):
    expected = sk.top_k_accuracy_score(LABELS, SCORES, k=k, sample_weight=weights)
    assert m.TopK.from_batch(LABELS, SCORES, weights, k=k).compute() == close(expected)


def test_top_one_is_the_argmax_where_scores_tie():
    scores = np.round(SCORES)
    ours = m.TopK.from_batch(LABELS, scores, k=1).compute()
    assert ours == np.mean(scores.argmax(-1) == LABELS)


def test_a_nan_score_is_never_a_hit():
    scores = np.array([[np.nan, 1.0, 0.0], [np.nan, 1.0, 0.0], [0.0, 1.0, np.nan]])
    labels = np.array([0, 1, 1])
    assert m.Accuracy.from_batch(labels, scores).compute() == 0.0
    assert m.TopK.from_batch(labels, scores, k=2).compute() == 2 / 3
    assert m.TopK.from_batch(labels, scores, k=3).compute() == 2 / 3


AVERAGED = {
    m.Precision: sk.precision_score,
    m.Recall: sk.recall_score,
    m.F1: sk.f1_score,
}
LACKING = {
    "all classes": (LABELS, PREDICTIONS),
    "a class that is never predicted": (LABELS, np.minimum(PREDICTIONS, 3)),
    "a class that is never a label": (np.minimum(LABELS, 3), PREDICTIONS),
    "nothing right": (np.zeros(N, int), np.ones(N, int)),
}


@WEIGHTINGS
@pytest.mark.parametrize("undefined", [None, 0.0, 1.0])
@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("case", LACKING)
@pytest.mark.parametrize("metric", AVERAGED)
def test_averages_over_classes_are_those_of_scikit_learn(
    metric, case, average, undefined, weights
):
    labels, predictions = LACKING[case]
    expected = AVERAGED[metric](
        labels,
        predictions,
        average=average,
        sample_weight=weights,
        zero_division=np.nan if undefined is None else undefined,
    )
    ours = metric.from_batch(
        labels, predictions, weights, average=average, undefined=undefined
    )
    assert ours.compute() == close(expected)


@WEIGHTINGS
@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("metric", AVERAGED)
def test_binary_averages_are_those_of_scikit_learn(metric, positive, weights):
    labels, predictions = LABELS % 2, PREDICTIONS % 2
    expected = AVERAGED[metric](
        labels, predictions, pos_label=positive, sample_weight=weights
    )
    ours = metric.from_batch(labels, predictions, weights, positive=positive)
    assert ours.compute() == close(expected)


@pytest.mark.parametrize(
    ("metric", "labels", "predictions"),
    [
        (m.Precision, [0, 1], [0, 0]),
        (m.Recall, [0, 0], [0, 1]),
        (m.F1, [0, 0], [0, 0]),
    ],
)
def test_zero_division_is_nan_or_the_argument(metric, labels, predictions):
    batch = np.array(labels), np.array(predictions)
    assert math.isnan(metric.from_batch(*batch).compute())
    assert metric.from_batch(*batch, undefined=0.0).compute() == 0.0


@WEIGHTINGS
def test_confusion_matrix_is_that_of_scikit_learn(weights):
    ours = m.ConfusionMatrix.from_batch(LABELS, PREDICTIONS, weights, classes=6)
    expected = sk.confusion_matrix(
        LABELS, PREDICTIONS, labels=range(6), sample_weight=weights
    )
    np.testing.assert_allclose(ours.compute(), expected, rtol=TIGHT)


@WEIGHTINGS
@pytest.mark.parametrize("digits", [0, 1, 15])
def test_auc_is_that_of_scikit_learn_including_ties(digits, weights):
    labels, scores = LABELS % 2, np.round(SCORES[:, 0] + LABELS % 2, digits)
    expected = sk.roc_auc_score(labels, scores, sample_weight=weights)
    ours = m.AUC.from_batch(labels, scores, weights).compute()
    # scikit-learn adds up trapezoids of rounded rates.
    assert ours == pytest.approx(expected, rel=1e-12)


def test_auc_of_many_batches_is_the_fraction_of_ordered_pairs():
    """More rows than a block holds before it is put together."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 70_000)
    scores = rng.integers(0, 1000, 70_000) + 40 * labels
    state = m.AUC()
    for start in range(0, 70_000, 1_700):
        batch = slice(start, start + 1_700)
        state = state.merge(m.AUC.from_batch(labels[batch], scores[batch]))
    # By hand, in integers: wins and half the ties over all pairs.
    positive = np.bincount(scores[labels == 1], minlength=1040)
    negative = np.bincount(scores[labels == 0], minlength=1040)
    twice_below = 2 * (np.cumsum(negative) - negative) + negative
    wins = int(positive @ twice_below)
    pairs = 2 * int(positive.sum()) * int(negative.sum())
    assert state.compute() == wins / pairs
    assert sum(block.score.size for block in state.blocks) < 35_000


def test_auc_accepts_any_finite_or_infinite_score():
    labels, scores = np.array([0, 1, 0, 1]), np.array([-np.inf, np.inf, -0.0, 0.0])
    # By hand: of four pairs three are won and one ties.
    assert m.AUC.from_batch(labels, scores).compute() == 3.5 / 4


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], []])
def test_auc_of_one_class_is_nan_or_the_argument(labels):
    labels, scores = np.array(labels), np.arange(len(labels))
    assert math.isnan(m.AUC.from_batch(labels, scores).compute())
    assert m.AUC.from_batch(labels, scores, undefined=1.0).compute() == 1.0


ERRORS = {
    m.MSE: sk.mean_squared_error,
    m.RMSE: sk.root_mean_squared_error,
    m.MAE: sk.mean_absolute_error,
    m.R2: sk.r2_score,
}


@WEIGHTINGS
@pytest.mark.parametrize("metric", ERRORS)
def test_regression_metrics_are_those_of_scikit_learn(metric, weights):
    expected = ERRORS[metric](TARGETS, GUESSES, sample_weight=weights)
    assert metric.from_batch(TARGETS, GUESSES, weights).compute() == close(expected)


@WEIGHTINGS
@pytest.mark.parametrize("offset", [1e6, 1e12, -1e15])
def test_r2_has_no_cancellation_far_from_zero(offset, weights):
    labels, predictions = TARGETS + offset, GUESSES + offset
    # The reference is given the same rows around zero, where it does not lose digits
    # either: taking the offset away again is exact.
    expected = sk.r2_score(labels - offset, predictions - offset, sample_weight=weights)
    ours = m.R2.from_batch(labels, predictions, weights).compute()
    assert ours == pytest.approx(expected, rel=1e-12)


def test_r2_of_constant_labels_is_nan():
    assert math.isnan(m.R2.from_batch(np.full(3, 0.1), np.zeros(3)).compute())
    assert math.isnan(m.R2.from_batch(np.array([1.0]), np.array([1.0])).compute())


@WEIGHTINGS
def test_perplexity_and_bits_per_byte_are_those_of_numpy(weights):
    losses = np.abs(TARGETS)
    mean = np.average(losses, weights=weights)
    perplexity = m.Perplexity.from_batch(losses, weights).compute()
    assert perplexity == pytest.approx(np.exp(mean), rel=1e-12)
    bits = m.BitsPerByte.from_batch(losses, weights, bytes_per_token=4.3).compute()
    assert bits == pytest.approx(mean / np.log(2) / 4.3, rel=1e-12)


def test_perplexity_too_large_for_float64_is_infinite():
    assert m.Perplexity.from_batch(np.array([1000.0])).compute() == math.inf


@pytest.mark.parametrize(
    "state",
    [
        m.Mean(),
        m.Accuracy(),
        m.TopK(),
        m.Precision(),
        m.Recall(),
        m.F1(average="macro"),
        m.AUC(),
        m.MSE(),
        m.RMSE(),
        m.MAE(),
        m.R2(),
        m.Perplexity(),
        m.BitsPerByte(),
    ],
    ids=lambda state: type(state).__name__,
)
def test_a_metric_without_rows_is_nan(state):
    assert math.isnan(state.compute())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_reported(bad):
    losses = np.array([1.0, bad, 2.0])
    for metric in (m.Mean, m.Perplexity, m.BitsPerByte):
        value = metric.from_batch(losses).compute()
        assert value == pytest.approx(bad, nan_ok=True)
    for metric in (m.MSE, m.RMSE, m.MAE, m.R2):
        assert not math.isfinite(metric.from_batch(np.arange(3.0), losses).compute())
        assert math.isnan(metric.from_batch(losses, losses).compute())


def test_bfloat16_is_accepted():
    low = SCORES.astype(ml_dtypes.bfloat16)
    same = low.astype(np.float64)
    binary = LABELS % 2

    def values(scores):
        column = scores[:, 0]
        return [
            m.Mean.from_batch(scores).compute(),
            m.Accuracy.from_batch(LABELS, scores).compute(),
            m.TopK.from_batch(LABELS, scores, k=2).compute(),
            m.AUC.from_batch(binary, column).compute(),
            m.R2.from_batch(column, binary).compute(),
            m.F1.from_batch(binary, column > 0, abs(column)).compute(),
        ]

    assert values(low) == values(same)


def test_integral_floats_and_booleans_are_class_indices():
    labels = np.array([0.0, 1.0, 1.0], np.float32)
    predictions = np.array([False, True, False])
    assert m.Accuracy.from_batch(labels, predictions).compute() == 2 / 3
    assert m.Recall.from_batch(labels, predictions).compute() == 0.5


def test_the_weight_of_an_example_counts_for_each_of_its_tokens():
    losses = np.array([[1.0, 2.0], [3.0, 4.0]])
    ours = m.Mean.from_batch(losses, np.array([1.0, 3.0])).compute()
    # By hand: (1 + 2 + 3 * 3 + 3 * 4) / 8
    assert ours == 3.0


def test_threshold_counts_of_weighted_and_unweighted_batches_merge():
    labels, scores, cuts = np.array([0, 1, 1]), np.array([0.1, 0.4, 0.6]), [0.5, 0.2]
    counted = m.ThresholdCounts.from_batch(labels, scores, thresholds=cuts)
    ones = m.ThresholdCounts.from_batch(labels, scores, np.ones(3), thresholds=cuts)
    assert counted == ones
    assert counted.merge(ones) == ones.merge(counted) == counted.merge(counted)
    assert counted != m.ThresholdCounts.from_batch(labels, scores, thresholds=[0.5])
