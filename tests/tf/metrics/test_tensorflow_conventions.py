"""Conventions of `tf.metrics` that `specflow.tf.metrics` keeps, by hand."""

import math

import numpy as np
import pytest

from specflow.diagnostics.errors import DataError
from specflow.metrics import AUC, Mean, Precision
from specflow.tf import metrics as m

LABELS = np.array([0, 0, 1, 1, 1])
SCORES = np.array([0.1, 0.6, 0.4, 0.8, 0.9])


def whole(function, *tensors, cuts=(2,), **keywords):
    """The value over all rows, merged from batches."""
    parts = [np.split(np.asarray(tensor), cuts) for tensor in tensors]
    states = [function(*batch, **keywords)[1] for batch in zip(*parts, strict=True)]
    total = states[0]
    for state in states[1:]:
        total = total.merge(state)
    return total.compute()


def test_an_undefined_ratio_is_0_and_an_auc_without_positives_is_1():
    nothing = np.zeros(3)
    assert m.precision(np.ones(3), nothing)[0] == 0.0
    assert m.recall(nothing, np.ones(3))[0] == 0.0
    assert m.mean(nothing, weights=0.0)[0] == 0.0
    assert m.auc(nothing, np.full(3, 0.5))[0] == pytest.approx(1.0)


def test_an_undefined_ratio_is_nan_in_metric_classes_and_by_keyword():
    nothing, ones = np.zeros(3, int), np.ones(3, int)
    assert math.isnan(Precision.from_batch(ones, nothing).compute())
    assert Precision.from_batch(ones, nothing, undefined=0.0).compute() == 0.0
    assert math.isnan(AUC.from_batch(nothing, np.full(3, 0.5)).compute())
    assert math.isnan(Mean().compute())
    assert math.isnan(m.precision(ones, nothing, undefined=None)[0])


def test_a_weighted_mean_is_the_weighted_sum_over_the_sum_of_weights():
    """(1*1 + 0.5*3 + 0*100) / 1.5; the masked value may be anything."""
    assert whole(m.mean, [1.0, 3.0, 100.0], [1.0, 0.5, 0.0]) == pytest.approx(2.5 / 1.5)
    errors = whole(m.mean_squared_error, np.zeros(3), [1.0, 2.0, 9.0], [1.0, 0.5, 0.0])
    assert errors == pytest.approx((1 + 0.5 * 4) / 1.5)
    squares = whole(
        m.root_mean_squared_error, np.zeros(3), [1.0, 2.0, 9.0], [1.0, 0.5, 0.0]
    )
    assert squares == pytest.approx(math.sqrt((1 + 0.5 * 4) / 1.5))
    absolute = whole(
        m.mean_absolute_error, np.zeros(3), [1.0, -2.0, 9.0], [1.0, 0.5, 0.0]
    )
    assert absolute == pytest.approx((1 + 0.5 * 2) / 1.5)


def test_a_weight_of_0_masks_an_example_everywhere():
    masked = np.array([1, 1, 1, 0, 0])
    kept = slice(0, 3)
    for function in (m.accuracy, m.precision, m.recall, m.true_positives):
        some = function(LABELS, SCORES > 0.5, masked)[0]
        assert some == function(LABELS[kept], SCORES[kept] > 0.5)[0]
    assert m.auc(LABELS, SCORES, masked)[0] == m.auc(LABELS[kept], SCORES[kept])[0]


def test_accuracy_casts_predictions_to_the_type_of_the_labels():
    """1.9 is cut to 1; as floats, 1 and 1.9 would differ."""
    assert m.accuracy(np.array([1, 2]), np.array([1.9, 2.0]))[0] == 1.0
    assert m.accuracy(np.array([1.0, 2.0]), np.array([1.9, 2.0]))[0] == 0.5


def test_precision_and_recall_cast_to_bool():
    labels, predictions = np.array([2, 0, -1, 3]), np.array([0.1, 0.3, 0.0, -5.0])
    assert m.precision(labels, predictions)[0] == pytest.approx(2 / 3)
    assert m.recall(labels, predictions)[0] == pytest.approx(2 / 3)


def test_auc_sums_trapezoids_over_200_thresholds_with_an_epsilon():
    """Rates at -1e-7, 1/199, ..., 198/199, 1 + 1e-7: (tp + 1e-6) / (p + 1e-6) over
    fp / (n + 1e-6)."""
    thresholds = np.concatenate([[-1e-7], np.arange(1, 199) / 199, [1 + 1e-7]])
    above = SCORES.astype(np.float32) > thresholds[:, None].astype(np.float32)
    tp, fp = (above & (LABELS == 1)).sum(1), (above & (LABELS == 0)).sum(1)
    # The reference and specflow reckon in float32, this in float64.
    tpr, fpr = (tp + 1e-6) / (3 + 1e-6), fp / (2 + 1e-6)
    expected = -np.trapezoid(tpr, fpr)
    assert whole(m.auc, LABELS, SCORES) == pytest.approx(expected, abs=2e-6)
    # One of six pairs is in the wrong order: 0.4 of a positive, 0.6 of a negative.
    assert expected == pytest.approx(5 / 6, abs=1e-5)
    assert m.auc(LABELS, SCORES, num_thresholds=200)[0] == m.auc(LABELS, SCORES)[0]


def test_auc_with_fewer_thresholds_is_a_coarser_approximation():
    """With 3 of them, at 0.5: two of three positives and one of two negatives above."""
    value = m.auc(LABELS, SCORES, num_thresholds=3)[0]
    assert value == pytest.approx(0.5 * 0.5 * 2 / 3 + 0.5 * (1 + 2 / 3) / 2, abs=1e-5)


@pytest.mark.parametrize("odd", [-0.1, 1.1])
def test_auc_refuses_predictions_outside_0_and_1(odd):
    with pytest.raises(DataError):
        m.auc(LABELS, np.where(SCORES == 0.1, odd, SCORES))


def test_a_class_without_labels_is_0_to_accuracy_and_left_out_of_iou():
    """Class 0: 1 of 2 right; class 1: 1 of 1; class 2 does not occur."""
    labels, predictions = np.array([0, 0, 1]), np.array([0, 1, 1])
    accuracy = whole(m.mean_per_class_accuracy, labels, predictions, num_classes=3)
    assert accuracy == pytest.approx((0.5 + 1 + 0) / 3)
    # Intersections over unions: 1 of 2, and 1 of 2.
    iou = whole(m.mean_iou, labels, predictions, num_classes=3)
    assert iou == pytest.approx(0.5)


def test_totals_are_float64_where_float32_would_lose_one():
    """The reference added in float32; here 2^24 + 1 is what it is."""
    assert whole(m.mean, [2.0**24, 1.0], cuts=(1,)) == (2.0**24 + 1) / 2


def test_mean_tensor_of_a_scalar_is_a_scalar():
    """Of TensorFlow's shapes: [] in, [] out."""
    state = m.mean_tensor(3.0)[1].merge(m.mean_tensor(np.float32(5.0))[1])
    assert np.shape(state.compute()) == ()
    assert state.compute() == 4.0
