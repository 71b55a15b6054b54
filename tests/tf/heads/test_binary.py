"""The binary head against scikit-learn and NumPy in float64."""

import numpy as np
import pytest
import scipy.special
from sklearn import metrics

import specflow as sf

RNG = np.random.default_rng(0)
LOGITS = (RNG.normal(size=(40, 1)) * 2).astype(np.float32)
LABELS = (RNG.random(40) < 0.4).astype(np.int32)
WEIGHTS = RNG.choice([0.0, 0.5, 1.0, 3.0], 40).astype(np.float32)
SAID = scipy.special.expit(LOGITS[:, 0].astype(np.float64))
LOSSES = -np.log(np.where(LABELS, SAID, 1 - SAID))
CLASSES = (LOGITS[:, 0] > 0).astype(int)

# float32 on the device, float64 in the expected values.
near = {"rel": 1e-5, "abs": 1e-6}


def expected(weights):
    """scikit-learn 1.9 on the whole set; means by NumPy, float64."""
    share = np.average(LABELS, weights=weights)
    weigh = {"sample_weight": weights}
    return {
        "average_loss": np.average(LOSSES, weights=weights),
        "accuracy": metrics.accuracy_score(LABELS, CLASSES, **weigh),
        "accuracy_baseline": max(share, 1 - share),
        "precision": metrics.precision_score(LABELS, CLASSES, **weigh),
        "recall": metrics.recall_score(LABELS, CLASSES, **weigh),
        "label/mean": share,
        "prediction/mean": np.average(SAID, weights=weights),
        "auc": metrics.roc_auc_score(LABELS, SAID, **weigh),
    }


@pytest.mark.parametrize("rows", [7, 40])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
def test_metrics_do_not_depend_on_the_batches(judged, rows, weights):
    column = None if weights is None else "w"
    found = judged(
        sf.tf.heads.BinaryClassHead(weight_column=column),
        rows=rows,
        logits=LOGITS,
        labels=LABELS,
        features={"w": WEIGHTS},
    )
    area = found.pop("auc_precision_recall")
    assert found == pytest.approx(expected(weights), **near)
    # scikit-learn's average precision is another interpolation, of every threshold.
    precision, recall, _ = metrics.precision_recall_curve(
        LABELS, SAID, sample_weight=weights
    )
    assert area == pytest.approx(metrics.auc(recall, precision), abs=0.02)


def test_thresholds_have_metrics_of_their_own(judged):
    head = sf.tf.heads.BinaryClassHead(thresholds=[0.25, 0.5])
    found = judged(head, logits=LOGITS, labels=LABELS)
    called = SAID > 0.25
    assert found["accuracy/positive_threshold_0.25"] == pytest.approx(
        metrics.accuracy_score(LABELS, called)
    )
    assert found["precision/positive_threshold_0.25"] == pytest.approx(
        metrics.precision_score(LABELS, called)
    )
    assert found["recall/positive_threshold_0.25"] == pytest.approx(
        metrics.recall_score(LABELS, called)
    )
    assert found["recall/positive_threshold_0.5"] == found["recall"]


def test_a_keyword_selects_the_formulas_of_tensorflow(judged):
    """200 thresholds, and TensorFlow's 0 and 1 where the exact metric is undefined."""
    given = {"logits": LOGITS, "labels": LABELS}
    exact = judged(sf.tf.heads.BinaryClassHead(), **given)
    bucketed = judged(sf.tf.heads.BinaryClassHead(formula="tf"), **given)
    assert bucketed["auc"] != exact["auc"]
    assert bucketed["auc"] == pytest.approx(exact["auc"], abs=5e-3)
    nobody = {"logits": -np.ones((3, 1), np.float32), "labels": np.zeros(3, np.int32)}
    exact = judged(sf.tf.heads.BinaryClassHead(), **nobody)
    bucketed = judged(sf.tf.heads.BinaryClassHead(formula="tf"), **nobody)
    assert np.isnan([exact[name] for name in ("auc", "precision", "recall")]).all()
    assert [bucketed["precision"], bucketed["recall"]] == [0.0, 0.0]
    # TensorFlow 2.15 sums float32 trapezoids there, beside a constant of 1e-6.
    assert bucketed["auc"] == pytest.approx(1.0, abs=1e-6)


def test_predictions_have_the_names_and_shapes_of_tensorflow(spec_of):
    made = spec_of(sf.tf.heads.BinaryClassHead(), "infer", logits=LOGITS).predictions
    assert {name: array.shape for name, array in made.items()} == {
        "logits": (40, 1),
        "logistic": (40, 1),
        "probabilities": (40, 2),
        "class_ids": (40, 1),
        "classes": (40, 1),
        "all_class_ids": (40, 2),
        "all_classes": (40, 2),
    }
    assert made["logistic"][:, 0] == pytest.approx(SAID, **near)
    assert made["probabilities"] == pytest.approx(np.stack([1 - SAID, SAID], 1), **near)
    assert made["class_ids"][:, 0].tolist() == CLASSES.tolist()
    assert made["all_classes"][3].tolist() == [0, 1]


def test_signatures_are_those_of_tensorflow(spec_of):
    exports = spec_of(
        sf.tf.heads.BinaryClassHead(), "infer", logits=LOGITS
    ).export_outputs
    assert sorted(exports) == [
        "classification",
        "predict",
        "regression",
        "serving_default",
    ]
    assert isinstance(exports["serving_default"], sf.ClassificationOutput)
    assert exports["serving_default"].class_names == ("0", "1")
    assert exports["serving_default"].scores.shape == (40, 2)
    assert isinstance(exports["regression"], sf.RegressionOutput)
    assert set(exports["predict"].outputs) >= {"logits", "classes"}


def test_labels_of_a_vocabulary_are_looked_up(judged, spec_of):
    head = sf.tf.heads.BinaryClassHead(label_vocabulary=[-1, 7])
    found = judged(head, logits=LOGITS, labels=np.where(LABELS, 7, -1))
    plain = judged(sf.tf.heads.BinaryClassHead(), logits=LOGITS, labels=LABELS)
    assert found == plain
    made = spec_of(head, "infer", logits=LOGITS)
    assert made.predictions["classes"][:, 0].tolist() == [(-1, 7)[c] for c in CLASSES]
    assert made.predictions["all_classes"][0].tolist() == [-1, 7]
    assert made.export_outputs["predict"].outputs["class_ids"].max() == 1


def test_string_labels_are_encoded_on_the_host(spec_of):
    head = sf.tf.heads.BinaryClassHead(label_vocabulary=["ham", "spam"])
    labels = head.classes.encode(["spam", "ham", "spam"])
    assert labels.tolist() == [1, 0, 1]
    made = spec_of(head, "infer", logits=LOGITS)
    assert made.export_outputs["serving_default"].class_names == ("ham", "spam")
    assert head.classes.decode(made.predictions["classes"][:2]).tolist() == [
        [("ham", "spam")[c]] for c in CLASSES[:2]
    ]
    with pytest.raises(sf.DataError) as caught:
        head.classes.encode(["ham", "spma"])
    assert str(caught.value) == (
        "labels: row 1 has 'spma'. Expected one of ham, spam. Did you mean spam?"
    )
