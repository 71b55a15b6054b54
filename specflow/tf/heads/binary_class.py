"""Head of binary classification."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float
from numpy.typing import NDArray

from specflow.contract import (
    DEFAULT_SERVING,
    ClassificationOutput,
    ExportOutput,
    PredictOutput,
    RegressionOutput,
)
from specflow.tf import metrics
from specflow.tf.heads.class_names import Classes, Vocabulary, vocabulary_of
from specflow.tf.heads.head import Head
from specflow.tf.heads.head_metrics import (
    MajorityShare,
    areas,
    at_thresholds,
    broadcast,
    undefined,
)
from specflow.tf.heads.label_shapes import column_of, in_range, thresholds_of

__all__ = ["BinaryClassHead"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BinaryClassHead(Head):
    """Binary classification from one logit: sigmoid cross-entropy.

    Labels are in [0, 1] (probabilities too), or members of `label_vocabulary`, "b" or
    "b 1". Predictions, "b 1" or "b 2": `logits`, `logistic` (the probability of class
    1), `probabilities` (of both), `class_ids`, `classes` (by their labels),
    `all_class_ids`, `all_classes`. Metrics: `average_loss`, `accuracy`,
    `accuracy_baseline` (of the more frequent label), `precision`, `recall`,
    `auc`, `auc_precision_recall`, `label/mean`, `prediction/mean`, and for each of
    `thresholds` `accuracy/positive_threshold_0.3` and so on.

    >>> head = BinaryClassHead()
    >>> logits, labels = jnp.array([[2.0], [-1.0]]), jnp.array([1, 1])
    >>> spec = head.spec("eval", logits=logits, labels=labels)
    >>> round(float(spec.loss), 4)
    0.7201
    >>> spec.predictions["class_ids"].tolist()
    [[1], [0]]

    Source: tf.estimator.BinaryClassHead, TensorFlow 2.15.
    """

    thresholds: Sequence[float] = ()
    """Decision thresholds, in (0, 1): a probability above is a positive prediction."""
    label_vocabulary: Vocabulary | None = None
    """Labels of class 0 and class 1; None: 0 and 1. String labels are encoded as class
    indices on the host: `head.classes.encode(labels)`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "thresholds", thresholds_of(self, self.thresholds))
        where = type(self).__name__
        vocabulary = vocabulary_of(self.label_vocabulary, 2, where=where)
        object.__setattr__(self, "label_vocabulary", vocabulary)

    @property
    def logits_dimension(self) -> int:
        return 1

    @property
    def classes(self) -> Classes:
        """Class indices and their labels."""
        return Classes(2, self.label_vocabulary)

    def truth(self, labels: Any, logits: Float[Array, "b 1"]) -> Float[Array, "b 1"]:
        labels = column_of(self, labels, logits)
        return self.classes.ids(labels).astype(jnp.float32)

    def losses(self, truth: Array, logits: Array) -> Array:
        losses = optax.sigmoid_binary_cross_entropy(logits, truth)
        return in_range(losses, truth, highest=1)

    def predictions(self, logits: Float[Array, "b 1"]) -> dict[str, Array]:
        both = jnp.concatenate([jnp.zeros_like(logits), logits], axis=-1)
        ids = both.argmax(-1, keepdims=True).astype(jnp.int32)
        every = self.classes.all(ids)
        return {
            "logits": logits,
            "logistic": jax.nn.sigmoid(logits),
            "probabilities": jax.nn.softmax(both),
            "class_ids": ids,
            "classes": self.classes.named(ids),
            "all_class_ids": every,
            "all_classes": self.classes.named(every),
        }

    def export_outputs(self, predictions: dict[str, Array]) -> dict[str, ExportOutput]:
        classification = ClassificationOutput(
            predictions["probabilities"],
            predictions["all_classes"],
            self.classes.names,
        )
        return {
            DEFAULT_SERVING: classification,
            "classification": classification,
            "regression": RegressionOutput(predictions["logistic"]),
            "predict": PredictOutput(predictions),
        }

    def measured(
        self, truth: Array, predictions: dict[str, Array], losses: Array
    ) -> tuple[Callable[..., dict[str, Any]], dict[str, Array]]:
        return self._metrics, {
            "labels": truth,
            "logistic": predictions["logistic"],
            "class_ids": predictions["class_ids"],
            "losses": losses,
        }

    def _metrics(
        self,
        labels: NDArray,
        logistic: NDArray,
        class_ids: NDArray,
        losses: NDArray,
        weights: NDArray | None = None,
    ) -> dict[str, Any]:
        weight, zero_division = broadcast(weights, losses), undefined(self.formula)

        def weighted(metric: Callable[..., Any], *tensors: NDArray) -> Any:
            return metric(*tensors, weight, undefined=zero_division)

        return {
            "average_loss": weighted(metrics.mean, losses),
            "accuracy": weighted(metrics.accuracy, labels, class_ids),
            "accuracy_baseline": weighted(MajorityShare.from_batch, labels),
            "precision": weighted(metrics.precision, labels, class_ids),
            "recall": weighted(metrics.recall, labels, class_ids),
            "label/mean": weighted(metrics.mean, labels),
            "prediction/mean": weighted(metrics.mean, logistic),
            **areas(labels, logistic, weights, self.formula),
            **at_thresholds(labels, logistic, weights, self.thresholds, self.formula),
        }
