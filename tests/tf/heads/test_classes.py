"""The heads of several classes against scikit-learn and NumPy in float64."""

import numpy as np
import pytest
import scipy.special
from sklearn import metrics

import specflow as sf

RNG = np.random.default_rng(1)
LOGITS = (RNG.normal(size=(30, 4)) * 2).astype(np.float32)
WEIGHTS = RNG.choice([0.0, 0.5, 2.0], (30, 1)).astype(np.float32)
LABELS = RNG.integers(0, 4, 30).astype(np.int32)
SAID = scipy.special.softmax(LOGITS.astype(np.float64), axis=-1)
MARKS = (RNG.random((30, 4)) < 0.4).astype(np.int32)
EACH = scipy.special.expit(LOGITS.astype(np.float64))
SHARES = -np.log(np.where(MARKS, EACH, 1 - EACH))

# float32 on the device, float64 in the expected values.
near = {"rel": 1e-5, "abs": 1e-6}
FEATURES = {"w": WEIGHTS}


class TestMultiClass:
    @pytest.mark.parametrize(
        "weights", [None, WEIGHTS[:, 0]], ids=["alike", "weighted"]
    )
    def test_metrics_do_not_depend_on_the_batches(self, judged, weights):
        column = None if weights is None else "w"
        found = judged(
            sf.tf.heads.MultiClassHead(4, weight_column=column),
            logits=LOGITS,
            labels=LABELS[:, None],
            features=FEATURES,
        )
        weigh = {"sample_weight": weights}
        assert found == pytest.approx(
            {
                "average_loss": metrics.log_loss(LABELS, SAID, **weigh),
                "accuracy": metrics.accuracy_score(LABELS, SAID.argmax(-1), **weigh),
            },
            **near,
        )

    def test_predictions_have_the_names_and_shapes_of_tensorflow(self, spec_of):
        made = spec_of(
            sf.tf.heads.MultiClassHead(4), "infer", logits=LOGITS
        ).predictions
        assert {name: array.shape for name, array in made.items()} == {
            "logits": (30, 4),
            "probabilities": (30, 4),
            "class_ids": (30, 1),
            "classes": (30, 1),
            "all_class_ids": (30, 4),
            "all_classes": (30, 4),
        }
        assert made["probabilities"] == pytest.approx(SAID, **near)
        assert made["class_ids"][:, 0].tolist() == SAID.argmax(-1).tolist()

    def test_signatures_are_those_of_tensorflow(self, spec_of):
        head = sf.tf.heads.MultiClassHead(4, label_vocabulary=["a", "b", "c", "d"])
        exports = spec_of(head, "infer", logits=LOGITS).export_outputs
        assert sorted(exports) == ["classification", "predict", "serving_default"]
        assert exports["serving_default"].class_names == ("a", "b", "c", "d")
        assert exports["serving_default"].classes[0].tolist() == [0, 1, 2, 3]

    def test_a_vocabulary_of_integers_is_looked_up_on_the_device(self, judged, spec_of):
        years = np.array([1998, 2003, 2010, 2021])
        head = sf.tf.heads.MultiClassHead(4, label_vocabulary=years.tolist())
        found = judged(head, logits=LOGITS, labels=years[LABELS])
        assert found == judged(
            sf.tf.heads.MultiClassHead(4), logits=LOGITS, labels=LABELS
        )
        made = spec_of(head, "infer", logits=LOGITS).predictions
        assert made["classes"][:, 0].tolist() == years[SAID.argmax(-1)].tolist()

    @pytest.mark.parametrize("wrong", [-1, 4])
    def test_the_loss_of_an_invalid_label_is_nan(self, spec_of, wrong):
        labels = np.where(np.arange(30) == 5, wrong, LABELS)
        head = sf.tf.heads.MultiClassHead(4)
        assert np.isnan(spec_of(head, "eval", logits=LOGITS, labels=labels).loss)


class TestMultiLabel:
    @pytest.mark.parametrize(
        "weights", [None, WEIGHTS[:, 0]], ids=["alike", "weighted"]
    )
    def test_metrics_do_not_depend_on_the_batches(self, judged, weights):
        """scikit-learn on all pairs of example and class; a weight for each class."""
        column = None if weights is None else "w"
        head = sf.tf.heads.MultiLabelHead(
            4,
            weight_column=column,
            thresholds=[0.3],
            classes_for_class_based_metrics=[2],
        )
        found = judged(head, logits=LOGITS, labels=MARKS, features=FEATURES)
        pairs = None if weights is None else np.repeat(weights, 4)
        every = {"sample_weight": pairs}
        called, marks = (EACH > 0.3).ravel(), MARKS.ravel()
        areas = [found.pop(name) for name in list(found) if "recall" in name[:22]]
        assert len(areas) == 3
        assert found == pytest.approx(
            {
                "average_loss": np.average(SHARES.mean(-1), weights=weights),
                "auc": metrics.roc_auc_score(marks, EACH.ravel(), **every),
                "accuracy/positive_threshold_0.3": metrics.accuracy_score(
                    marks, called, **every
                ),
                "precision/positive_threshold_0.3": metrics.precision_score(
                    marks, called, **every
                ),
                "probability_mean/class2": np.average(EACH[:, 2], weights=weights),
                "auc/class2": metrics.roc_auc_score(
                    MARKS[:, 2], EACH[:, 2], sample_weight=weights
                ),
            },
            **near,
        )

    def test_loss_is_the_mean_over_classes_then_over_examples(self, spec_of):
        spec = spec_of(
            sf.tf.heads.MultiLabelHead(4), "eval", logits=LOGITS, labels=MARKS
        )
        assert float(spec.loss) == pytest.approx(SHARES.mean(), **near)

    def test_classes_with_metrics_may_be_named_by_label(self, judged):
        head = sf.tf.heads.MultiLabelHead(
            4,
            label_vocabulary=["sun", "rain", "wind", "snow"],
            classes_for_class_based_metrics=["snow"],
        )
        found = judged(head, logits=LOGITS, labels=MARKS)
        assert found["auc/snow"] == pytest.approx(
            metrics.roc_auc_score(MARKS[:, 3], EACH[:, 3])
        )
        assert "probability_mean/snow" in found

    def test_predictions_and_signatures_are_those_of_tensorflow(self, spec_of):
        spec = spec_of(sf.tf.heads.MultiLabelHead(4), "infer", logits=LOGITS)
        assert {name: array.shape for name, array in spec.predictions.items()} == {
            "logits": (30, 4),
            "probabilities": (30, 4),
            "classes": (30, 4),
        }
        assert spec.predictions["probabilities"] == pytest.approx(EACH, **near)
        names = ["classification", "predict", "serving_default"]
        assert sorted(spec.export_outputs) == names


class TestLanguage:
    LOGITS = (RNG.normal(size=(6, 5, 8)) * 2).astype(np.float32)
    TOKENS = RNG.integers(0, 8, (6, 5)).astype(np.int32)
    LOSSES = -np.take_along_axis(
        scipy.special.log_softmax(LOGITS.astype(np.float64), axis=-1),
        TOKENS[..., None],
        axis=-1,
    )[..., 0]

    def test_metrics_are_those_of_all_tokens(self, judged):
        head = sf.tf.heads.LanguageHead(8, bytes_per_token=2.0)
        found = judged(head, rows=4, logits=self.LOGITS, labels=self.TOKENS)
        loss = self.LOSSES.mean()
        hits = self.LOGITS.argmax(-1) == self.TOKENS
        assert found == pytest.approx(
            {
                "average_loss": loss,
                "accuracy": hits.mean(),
                "perplexity": np.exp(loss),
                "bits_per_byte": loss / np.log(2) / 2,
            },
            **near,
        )

    def test_an_ignored_label_does_not_contribute_to_loss_and_metrics(
        self, judged, spec_of
    ):
        kept = RNG.random((6, 5)) < 0.6
        labels = np.where(kept, self.TOKENS, -100)
        given = {"logits": self.LOGITS, "labels": labels}
        head = sf.tf.heads.LanguageHead(8, ignore_label=-100)
        loss = self.LOSSES[kept].mean()
        assert float(spec_of(head, "eval", **given).loss) == pytest.approx(loss, **near)
        found = judged(head, rows=4, **given)
        assert found["average_loss"] == pytest.approx(loss, **near)
        hits = (self.LOGITS.argmax(-1) == self.TOKENS)[kept]
        assert found["accuracy"] == pytest.approx(hits.mean())

    @pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 5)])
    def test_weights_are_per_row_or_per_token(self, judged, spec_of, shape):
        weights = RNG.random(shape).astype(np.float32)
        head = sf.tf.heads.LanguageHead(8, weight_column="w", loss_reduction="mean")
        given = {
            "logits": self.LOGITS,
            "labels": self.TOKENS,
            "features": {"w": weights},
        }
        spread = np.broadcast_to(weights.reshape(6, -1), (6, 5))
        loss = np.average(self.LOSSES, weights=spread)
        assert judged(head, rows=4, **given)["average_loss"] == pytest.approx(
            loss, **near
        )
        assert float(spec_of(head, "eval", **given).loss) == pytest.approx(loss, **near)

    def test_predictions_exist_for_every_position(self, spec_of):
        spec = spec_of(sf.tf.heads.LanguageHead(8), "infer", logits=self.LOGITS)
        assert spec.predictions["probabilities"].shape == (6, 5, 8)
        assert spec.predictions["class_ids"].shape == (6, 5)
        assert sorted(spec.export_outputs) == ["predict", "serving_default"]
