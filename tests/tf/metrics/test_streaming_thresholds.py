"""tf.metrics' metrics over thresholds against TF's documented formulas in NumPy."""

import math

import numpy as np
import pytest
import sklearn.metrics as sk

from specflow.metrics import ThresholdCounts
from specflow.tf import metrics as m

RNG = np.random.default_rng(12)
N = 90
LABELS = RNG.integers(0, 2, N)
SCORES = np.clip(0.3 * LABELS + 0.7 * RNG.random(N), 0.0, 1.0).astype(np.float32)
SCORES[:6] = [0.0, 1.0, 0.5, 0.5, 0.0, 1.0]
WEIGHTS = RNG.random(N) * (RNG.random(N) < 0.8)
WEIGHTINGS = pytest.mark.parametrize(
    "weights", [None, WEIGHTS], ids=["plain", "weighted"]
)
CUTS = (0.5, 0.25, 0.9, 0.5)

# The formulas below are reckoned in float64, TF's and ours in float32, over up to 200
# thresholds whose steps add up to 1.
FLOAT32 = {"rel": 2e-6, "abs": 2e-6}


def confusion(labels, scores, thresholds, weights):
    """TF's counts: a score above the threshold is positive, compared as float32."""
    weights = np.ones(len(labels)) if weights is None else weights
    cuts = np.asarray(thresholds, np.float32)[:, None]
    above, positive = scores.astype(np.float32) > cuts, labels.astype(bool)
    return tuple(
        (side * weights).sum(1)
        for side in (
            above & positive,
            above & ~positive,
            ~above & positive,
            ~above & ~positive,
        )
    )


def evenly(count, last=1.0 + 1e-7):
    return [-1e-7, *np.linspace(0.0, 1.0, count)[1:-1], last]


def tf_auc(counts, curve, method):
    """TF's Riemann sums, epsilon 1e-6."""
    tp, fp, fn, tn = counts
    recall = (tp + 1e-6) / (tp + fn + 1e-6)
    if curve == "ROC":
        x, y = fp / (fp + tn + 1e-6), recall
    else:
        x, y = recall, (tp + 1e-6) / (tp + fp + 1e-6)
    sides = np.stack([y[:-1], y[1:]])
    height = {"trapezoidal": sides.mean, "minoring": sides.min, "majoring": sides.max}
    return -(np.diff(x) * height[method](axis=0)).sum()


def streamed(function, *arguments, labels=LABELS, scores=SCORES, weights=None, **more):
    """The value after batches of 11, having seen that one batch gives the same."""
    state = None
    for start in range(0, len(labels), 11):
        rows = slice(start, start + 11)
        given = {} if weights is None else {"weights": weights[rows]}
        _, part = function(labels[rows], scores[rows], *arguments, **given, **more)
        state = part if state is None else state.merge(part)
    value, _ = function(labels, scores, *arguments, weights=weights, **more)
    np.testing.assert_array_equal(state.compute(), value)
    return value


@WEIGHTINGS
@pytest.mark.parametrize("count", [2, 3, 20, 200])
@pytest.mark.parametrize("method", ["trapezoidal", "minoring", "majoring"])
@pytest.mark.parametrize("curve", ["ROC", "PR"])
def test_auc_is_the_riemann_sum_of_tensorflow(curve, method, count, weights):
    ours = streamed(
        m.auc,
        num_thresholds=count,
        curve=curve,
        summation_method=method,
        weights=weights,
    )
    counts = confusion(LABELS, SCORES, evenly(count), weights)
    assert ours == pytest.approx(tf_auc(counts, curve, method), **FLOAT32)


def test_auc_has_200_thresholds_trapezoids_and_the_roc_curve_by_default():
    counts = confusion(LABELS, SCORES, evenly(200), None)
    expected = tf_auc(counts, "ROC", "trapezoidal")
    assert m.auc(LABELS, SCORES)[0] == pytest.approx(expected, **FLOAT32)


def test_auc_at_given_thresholds_adds_both_ends():
    counts = confusion(LABELS, SCORES, [-1e-7, *sorted(CUTS), 1.0 + 1e-7], WEIGHTS)
    ours = streamed(m.auc, thresholds=CUTS, weights=WEIGHTS)
    assert ours == pytest.approx(tf_auc(counts, "ROC", "trapezoidal"), **FLOAT32)


@WEIGHTINGS
def test_careful_interpolation_is_the_integral_between_thresholds(weights):
    """The counts run evenly from one threshold to the next; precision over recall is
    summed here in 20,000 small steps for each."""
    tp, fp, fn, _ = confusion(LABELS, SCORES, evenly(12), weights)
    area, share = 0.0, (np.arange(20_000) + 0.5) / 20_000
    for low in range(11):
        rise, run = tp[low] - tp[low + 1], fp[low] - fp[low + 1]
        found, wrong = tp[low + 1] + share * rise, fp[low + 1] + share * run
        if rise:
            area += (found / (found + wrong)).mean() * rise / (tp[low] + fn[low])
    ours = streamed(
        m.auc,
        num_thresholds=12,
        curve="PR",
        summation_method="careful_interpolation",
        weights=weights,
    )
    assert ours == pytest.approx(area, **FLOAT32)


def test_careful_interpolation_of_the_roc_curve_is_trapezoids():
    ours = m.auc(LABELS, SCORES, summation_method="careful_interpolation")[0]
    assert ours == m.auc(LABELS, SCORES)[0]


@WEIGHTINGS
def test_the_exact_auc_is_that_of_scikit_learn(weights):
    ours = streamed(m.auc, formula="exact", weights=weights)
    expected = sk.roc_auc_score(LABELS, SCORES, sample_weight=weights)
    assert ours == pytest.approx(expected, rel=1e-12)


def test_auc_without_positives_is_one_and_without_negatives_zero():
    # By hand: recall is epsilon over epsilon; the false positive rate stays 0.
    scores = np.linspace(0.1, 0.9, 40)
    assert m.auc(np.zeros(40), scores)[0] == 1.0
    assert m.auc(np.ones(40), scores)[0] == 0.0
    assert math.isnan(m.auc(np.zeros(40), scores, formula="exact")[0])


def test_auc_of_a_perfect_order_is_one():
    # By hand.
    labels = np.repeat([0, 1], 20)
    assert m.auc(labels, np.linspace(0.0, 1.0, 40))[0] == pytest.approx(1.0, abs=1e-6)


@WEIGHTINGS
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (m.true_positives_at_thresholds, lambda tp, fp, fn, tn: tp),
        (m.false_positives_at_thresholds, lambda tp, fp, fn, tn: fp),
        (m.false_negatives_at_thresholds, lambda tp, fp, fn, tn: fn),
        (m.true_negatives_at_thresholds, lambda tp, fp, fn, tn: tn),
        (m.precision_at_thresholds, lambda tp, fp, fn, tn: tp / (tp + fp + 1e-7)),
        (m.recall_at_thresholds, lambda tp, fp, fn, tn: tp / (tp + fn + 1e-7)),
    ],
)
def test_values_at_thresholds_are_those_of_tensorflow_in_the_given_order(
    function, expected, weights
):
    ours = streamed(function, CUTS, weights=weights)
    counts = confusion(LABELS, SCORES, CUTS, weights)
    np.testing.assert_allclose(ours, expected(*counts), rtol=1e-6)


def test_precision_above_every_score_is_zero():
    assert m.precision_at_thresholds(LABELS, SCORES, [1.0])[0].tolist() == [0.0]


@WEIGHTINGS
@pytest.mark.parametrize("goal", [0.0, 0.3, 0.5, 0.81, 1.0])
def test_sensitivity_is_that_of_the_lowest_threshold_of_closest_specificity(
    goal, weights
):
    tp, fp, fn, tn = confusion(LABELS, SCORES, evenly(30), weights)
    nearest = np.round(abs(tn / (tn + fp) - goal), 6).argmin()
    ours = streamed(
        m.sensitivity_at_specificity, goal, weights=weights, num_thresholds=30
    )
    assert ours == pytest.approx((tp / (tp + fn))[nearest], rel=1e-6)


@WEIGHTINGS
@pytest.mark.parametrize("goal", [0.0, 0.3, 0.5, 0.81, 1.0])
def test_specificity_is_that_of_the_highest_threshold_of_closest_sensitivity(
    goal, weights
):
    # TF's last threshold is just below 1 here, where that of the others is above.
    cuts = evenly(30, last=1.0 - 1e-7)
    tp, fp, fn, tn = confusion(LABELS, SCORES, cuts, weights)
    off = np.round(abs(tp / (tp + fn) - goal), 6)
    nearest = len(off) - 1 - off[::-1].argmin()
    ours = streamed(
        m.specificity_at_sensitivity, goal, weights=weights, num_thresholds=30
    )
    assert ours == pytest.approx((tn / (tn + fp))[nearest], rel=1e-6)


@WEIGHTINGS
def test_counts_at_thresholds_are_the_confusion_matrices_of_scikit_learn(weights):
    state = ThresholdCounts.from_batch(LABELS, SCORES, weights, thresholds=CUTS)
    expected = [
        sk.confusion_matrix(LABELS, np.float32(cut) < SCORES, sample_weight=weights)
        for cut in CUTS
    ]
    np.testing.assert_allclose(state.compute(), expected, rtol=1e-12)
