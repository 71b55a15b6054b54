"""Invalid input of the streaming functions, and the full messages, with their names."""

import numpy as np
import pytest

from specflow.diagnostics.errors import DataError
from specflow.tf import metrics as m

THREE, FOUR = np.array([0, 1, 1]), np.array([0, 1, 1, 0])
HALVES = np.array([0.5, 0.5, 0.5])
SCORES = np.zeros((3, 4))

REFUSED = {
    "other rows": (
        lambda: m.accuracy(THREE, FOUR),
        "accuracy: predictions are int64[4], labels are int64[3]. "
        "Expected predictions of the same shape as labels.",
    ),
    "scores where classes belong": (
        lambda: m.accuracy(THREE, SCORES),
        "accuracy: predictions are float64[3,4], labels are int64[3]. "
        "Expected predictions of the same shape as labels.",
    ),
    "a mean of means": (
        lambda: m.mean(np.float32(0.5)),  # type: ignore[arg-type]
        "mean: values are float32[], without rows. Expected one value per row. Pass "
        "the value of each example: a mean of means depends on the batch size.",
    ),
    "weights that do not broadcast": (
        lambda: m.recall(THREE, THREE, weights=[1.0, 2.0]),
        "recall: weights are float64[2], labels have shape [3]. Expected one weight "
        "per value, or one per index of the first axes of labels.",
    ),
    "a negative weight": (
        lambda: m.true_positives(THREE, THREE, weights=-1.0),
        "true_positives: weights hold -1.0 (3 of 3 values). "
        "Expected finite weights of at least 0.",
    ),
    "logits": (
        lambda: m.auc(THREE, np.array([-0.5, 0.5, 2.0])),
        "auc: scores hold -0.5 (2 of 3 values). Expected probabilities from 0 to 1. "
        "Take the sigmoid of logits.",
    ),
    "a NaN score": (
        lambda: m.precision_at_thresholds(THREE, np.array([0.1, np.nan, 0.3]), [0.5]),
        "precision_at_thresholds: scores hold nan (1 of 3 values). Expected "
        "probabilities from 0 to 1. Take the sigmoid of logits.",
    ),
    "an unknown curve": (
        lambda: m.auc(THREE, HALVES, curve="PRC"),  # type: ignore[arg-type]
        "auc: curve is 'PRC'. Expected one of 'ROC', 'PR'.",
    ),
    "an unknown summation": (
        lambda: m.auc(THREE, HALVES, summation_method="simpson"),  # type: ignore[arg-type]
        "auc: summation_method is 'simpson'. Expected one of 'trapezoidal', "
        "'careful_interpolation', 'minoring', 'majoring'.",
    ),
    "an exact area under the PR curve": (
        lambda: m.auc(THREE, HALVES, curve="PR", formula="exact"),
        "auc: formula is 'exact', curve is 'PR'. "
        "Expected formula 'tf'; or 'exact', with the curve 'ROC'.",
    ),
    "one threshold": (
        lambda: m.auc(THREE, HALVES, num_thresholds=1),
        "auc: num_thresholds is 1. Expected at least 2, one below all scores.",
    ),
    "no threshold": (
        lambda: m.recall_at_thresholds(THREE, HALVES, []),
        "recall_at_thresholds: thresholds are []. "
        "Expected a list of at least one number.",
    ),
    "a specificity in percent": (
        lambda: m.sensitivity_at_specificity(THREE, HALVES, 90),
        "sensitivity_at_specificity: specificity is 90. Expected a number in [0, 1].",
    ),
    "a label beyond the classes": (
        lambda: m.mean_per_class_accuracy(THREE + 1, THREE, 2),
        "mean_per_class_accuracy: labels hold 2 (2 of 3 values). "
        "Expected classes from 0 to 1.",
    ),
    "a prediction beyond the classes": (
        lambda: m.mean_iou(THREE, THREE + 1, 2),
        "mean_iou: predictions hold 2 (2 of 3 values). Expected classes from 0 to 1.",
    ),
    "vectors along the rows": (
        lambda: m.mean_cosine_distance(SCORES, SCORES, dim=0),
        "mean_cosine_distance: dim is 0, labels are float64[3,4]. "
        "Expected an axis after the first, which is the rows.",
    ),
    "k beyond the classes": (
        lambda: m.precision_at_k(THREE, SCORES, k=5),
        "precision_at_k: k is 5. Expected 1 to 4, the number of classes.",
    ),
    "labels of other rows": (
        lambda: m.recall_at_k(FOUR, SCORES, k=2),
        "recall_at_k: labels are int64[4], top classes are int64[3,2]. Expected k "
        "classes per row, on the last axis, and one label per row or one more axis of "
        "labels.",
    ),
    "another number of chosen classes": (
        lambda: m.recall_at_top_k(THREE, np.zeros((3, 2), int), k=3),
        "recall_at_top_k: predictions_idx are int64[3,2]. "
        "Expected 3 classes per row, on the last axis.",
    ),
    "other thresholds in another batch": (
        lambda: m.recall_at_thresholds(THREE, HALVES, [0.25])[1].merge(
            m.recall_at_thresholds(THREE, HALVES, [0.5])[1]
        ),
        "ThresholdCounts: states of thresholds=(0.25,) and of thresholds=(0.5,). "
        "Expected the same arguments for every batch.",
    ),
    "a tensor of another shape in another batch": (
        lambda: m.mean_tensor(THREE)[1].merge(m.mean_tensor(FOUR)[1]),
        "MeanTensor: states of rows of shape [3] and of shape [4]. "
        "Expected the same shape in every batch.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_input_raises_the_full_message(case):
    act, message = REFUSED[case]
    with pytest.raises(DataError) as caught:
        act()
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)


def test_a_masked_row_may_hold_any_value():
    weights, scores = np.array([1.0, 0.0, 1.0]), np.array([0.2, 7.0, 0.8])
    assert m.auc(np.array([0, 9, 1]), scores, weights)[0] == pytest.approx(1.0)
    assert m.mean_iou(np.array([0, -5, 1]), np.array([0, 9, 1]), 2, weights)[0] == 1.0
    assert m.accuracy(np.array([0, 1, 1]), np.array([0, np.nan, 1]), weights)[0] == 1.0
