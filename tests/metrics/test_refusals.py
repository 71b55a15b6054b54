"""Invalid input of metrics, and the full messages."""

import numpy as np
import pytest

from specflow import metrics as m
from specflow.diagnostics.errors import DataError

THREE, FOUR = np.array([0, 1, 1]), np.array([0, 1, 1, 0])
HALVES = np.array([0.5, 0.5, 0.5])

REFUSED = {
    "other number of rows": (
        lambda: m.Accuracy.from_batch(THREE, FOUR),
        "Accuracy: predictions are int64[4], labels are int64[3]. "
        "Expected predictions of the same shape as labels.",
    ),
    "an axis of size 1 too many": (
        lambda: m.MSE.from_batch(HALVES, HALVES[:, None]),
        "MSE: predictions are float64[3,1], labels are float64[3]. Expected "
        "predictions of the same shape as labels. "
        "Squeeze the last axis: its size is 1.",
    ),
    "scores without classes": (
        lambda: m.TopK.from_batch(THREE, HALVES, k=1),
        "TopK: scores are float64[3], labels are int64[3]. Expected scores of the same "
        "shape as labels, and a last axis of classes.",
    ),
    "scores of other rows": (
        lambda: m.Accuracy.from_batch(THREE, np.zeros((4, 5))),
        "Accuracy: predictions are float64[4,5], labels are int64[3]. Expected "
        "predictions of the same shape as labels, and a last axis of classes.",
    ),
    "one score a row": (
        lambda: m.Accuracy.from_batch(THREE, HALVES[:, None]),
        "Accuracy: predictions are float64[3,1]. Expected a floating-point score for "
        "each of at least two classes, on the last axis.",
    ),
    "classes where scores belong": (
        lambda: m.Accuracy.from_batch(THREE, np.zeros((3, 2), int)),
        "Accuracy: predictions are int64[3,2]. Expected a floating-point score for "
        "each of at least two classes, on the last axis.",
    ),
    "k of no class": (
        lambda: m.TopK.from_batch(THREE, np.zeros((3, 2)), k=3),
        "TopK: k is 3. Expected 1 to 2, the number of classes in scores.",
    ),
    "a label beyond the scores": (
        lambda: m.TopK.from_batch(THREE + 1, np.zeros((3, 2)), k=1),
        "TopK: labels hold 2 (2 of 3 values). Expected classes from 0 to 1.",
    ),
    "probabilities where classes belong": (
        lambda: m.Precision.from_batch(THREE, HALVES),
        "Precision: predictions hold 0.5 (3 of 3 values). Expected class indices. Take "
        "the argmax of scores; compare a probability with a threshold.",
    ),
    "a NaN where classes belong": (
        lambda: m.Accuracy.from_batch(np.array([0.0, np.nan]), np.array([0, 1])),
        "Accuracy: labels hold nan (1 of 2 values). Expected class indices. Take the "
        "argmax of scores; compare a probability with a threshold.",
    ),
    "an infinity where classes belong": (
        lambda: m.Accuracy.from_batch(np.array([1e300, np.inf]), np.array([0, 1])),
        "Accuracy: labels hold 1e+300 (2 of 2 values). Expected class indices. Take "
        "the argmax of scores; compare a probability with a threshold.",
    ),
    "a label out of range": (
        lambda: m.ConfusionMatrix.from_batch(THREE - 1, THREE, classes=2),
        "ConfusionMatrix: labels hold -1 (1 of 3 values). "
        "Expected classes from 0 to 1.",
    ),
    "a prediction out of range": (
        lambda: m.ConfusionMatrix.from_batch(THREE, THREE + 1, classes=2),
        "ConfusionMatrix: predictions hold 2 (2 of 3 values). "
        "Expected classes from 0 to 1.",
    ),
    "matrices of two sizes": (
        lambda: m.ConfusionMatrix.from_batch(THREE, THREE, classes=2).merge(
            m.ConfusionMatrix.from_batch(THREE, THREE, classes=3)
        ),
        "ConfusionMatrix: states of 2 and of 3 classes. "
        "Expected the same number of classes in every batch.",
    ),
    "three classes, binary": (
        lambda: m.F1.from_batch(THREE, THREE + 1),
        "F1: average is 'binary', but 3 classes occur. Expected at most two classes. "
        "Set average to 'macro', 'micro' or 'weighted'.",
    ),
    "three classes, binary, seen in the second batch": (
        lambda: m.F1.from_batch(THREE, THREE).merge(m.F1.from_batch(THREE, 2 * THREE)),
        "F1: average is 'binary', but 3 classes occur. Expected at most two classes. "
        "Set average to 'macro', 'micro' or 'weighted'.",
    ),
    "two averages": (
        lambda: m.F1.from_batch(THREE, THREE, average="macro").merge(
            m.F1.from_batch(THREE, THREE, average="micro")
        ),
        "F1: states of average='macro' and of average='micro'. "
        "Expected the same arguments for every batch.",
    ),
    "two values of nothing": (
        lambda: m.AUC.from_batch(THREE, HALVES, undefined=0.0).merge(
            m.AUC.from_batch(THREE, HALVES)
        ),
        "AUC: states of undefined=0.0 and of undefined=None. "
        "Expected the same arguments for every batch.",
    ),
    "labels of three classes": (
        lambda: m.AUC.from_batch(2 * THREE, HALVES),
        "AUC: labels hold 2.0 (2 of 3 values). Expected 0 or 1.",
    ),
    "a NaN score": (
        lambda: m.AUC.from_batch(THREE, np.array([0.1, np.nan, 0.3])),
        "AUC: scores hold nan (1 of 3 values). Expected numbers.",
    ),
    "a scalar": (
        lambda: m.Mean.from_batch(np.float32(0.5)),  # type: ignore[arg-type]
        "Mean: values are float32[], without rows. Expected one value per row. Pass "
        "the value of each example: a mean of means depends on the batch size.",
    ),
    "text": (
        lambda: m.Mean.from_batch(np.array(["a"])),
        "Mean: values are <U1[1]. Expected numbers.",
    ),
    "complex numbers": (
        lambda: m.Mean.from_batch(np.array([1j])),
        "Mean: values are complex128[1]. Expected numbers.",
    ),
    "weights of other rows": (
        lambda: m.Mean.from_batch(HALVES, FOUR),
        "Mean: weights are int64[4], values have shape [3]. Expected one weight "
        "per value, or one per index of the first axes of values.",
    ),
    "weights of the last axis": (
        lambda: m.Mean.from_batch(np.zeros((2, 3)), HALVES),
        "Mean: weights are float64[3], values have shape [2, 3]. Expected one weight "
        "per value, or one per index of the first axes of values.",
    ),
    "a negative weight": (
        lambda: m.MSE.from_batch(THREE, THREE, np.array([1.0, -2.0, 1.0])),
        "MSE: weights hold -2.0 (1 of 3 values). "
        "Expected finite weights of at least 0.",
    ),
    "a NaN weight": (
        lambda: m.AUC.from_batch(THREE, HALVES, np.array([1.0, 1.0, np.nan])),
        "AUC: weights hold nan (1 of 3 values). Expected finite weights of at least 0.",
    ),
    "text as weights": (
        lambda: m.Mean.from_batch(HALVES, np.array(["1", "2", "3"])),
        "Mean: weights are <U1[3]. Expected numbers.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_input_raises_the_full_message(case):
    act, message = REFUSED[case]
    with pytest.raises(DataError) as caught:
        act()
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)
