"""Head of multi-label classification."""

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
)
from specflow.tf import metrics
from specflow.tf.heads.class_names import Classes, Vocabulary, vocabulary_of
from specflow.tf.heads.head import Head, diagnostic
from specflow.tf.heads.head_metrics import areas, at_thresholds, broadcast, undefined
from specflow.tf.heads.label_shapes import column_of, in_range, thresholds_of

__all__ = ["MultiLabelHead"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiLabelHead(Head):
    """Multi-label classification from one logit per class.

    The loss of an example is the mean of the sigmoid cross-entropies of its classes.

    Labels are 0 or 1 for each class, "b c". Predictions, "b c": `logits`,
    `probabilities` (of each class: they do not sum to 1), `classes` (the label of
    each class). Metrics, over all pairs of example and class: `average_loss`, `auc`,
    `auc_precision_recall`, for each of `thresholds` `accuracy/positive_threshold_0.3`
    and so on, and for each of `classes_for_class_based_metrics`
    `probability_mean/class0`, `auc/class0`, `auc_precision_recall/class0` (with a
    vocabulary `auc/<label>`).

    >>> head = MultiLabelHead(2)
    >>> logits, labels = jnp.array([[3.0, -3.0]]), jnp.array([[1, 1]])
    >>> round(float(head.spec("eval", logits=logits, labels=labels).loss), 4)
    1.5486

    Source: tf.estimator.MultiLabelHead, TensorFlow 2.15; its sparse labels are dense
    zeros and ones here.
    """

    n_classes: int = dataclasses.field(kw_only=False)
    thresholds: Sequence[float] = ()
    """Decision thresholds, in (0, 1): a class with a probability above is predicted."""
    label_vocabulary: Vocabulary | None = None
    """Label of each class; None: its index."""
    classes_for_class_based_metrics: Sequence[int] | Sequence[str] = ()
    """Classes that have metrics of their own, by index or by label."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_classes < 2:
            problem = f"got {self.n_classes}"
            raise diagnostic(self, "n_classes", problem, expected="2 or more")
        object.__setattr__(self, "thresholds", thresholds_of(self, self.thresholds))
        where = type(self).__name__
        vocabulary = vocabulary_of(self.label_vocabulary, self.n_classes, where=where)
        object.__setattr__(self, "label_vocabulary", vocabulary)
        for label in self.classes_for_class_based_metrics:
            choices = (
                self.classes.names if isinstance(label, str) else range(self.n_classes)
            )
            if label not in choices:
                listed = ", ".join(map(str, choices))
                raise diagnostic(
                    self,
                    "classes_for_class_based_metrics",
                    f"got {label!r}",
                    expected=f"some of {listed}",
                )

    @property
    def logits_dimension(self) -> int:
        return self.n_classes

    @property
    def classes(self) -> Classes:
        """Class indices and their labels."""
        return Classes(self.n_classes, self.label_vocabulary)

    def truth(self, labels: Any, logits: Float[Array, "b c"]) -> Float[Array, "b c"]:
        return column_of(self, labels, logits, width=self.n_classes).astype(jnp.float32)

    def losses(self, truth: Array, logits: Array) -> Array:
        losses = optax.sigmoid_binary_cross_entropy(logits, truth)
        return in_range(losses, truth, highest=1).mean(-1, keepdims=True)

    def predictions(self, logits: Float[Array, "b c"]) -> dict[str, Array]:
        return {
            "logits": logits,
            "probabilities": jax.nn.sigmoid(logits),
            "classes": self.classes.named(self.classes.all(logits)),
        }

    def export_outputs(self, predictions: dict[str, Array]) -> dict[str, ExportOutput]:
        classification = ClassificationOutput(
            predictions["probabilities"], predictions["classes"], self.classes.names
        )
        return {
            DEFAULT_SERVING: classification,
            "classification": classification,
            "predict": PredictOutput(predictions),
        }

    def measured(
        self, truth: Array, predictions: dict[str, Array], losses: Array
    ) -> tuple[Callable[..., dict[str, Any]], dict[str, Array]]:
        return self._metrics, {
            "labels": truth,
            "probabilities": predictions["probabilities"],
            "losses": losses,
        }

    def _metrics(
        self,
        labels: NDArray,
        probabilities: NDArray,
        losses: NDArray,
        weights: NDArray | None = None,
    ) -> dict[str, Any]:
        formula, zero_division = self.formula, undefined(self.formula)
        weight = broadcast(weights, losses)
        values = {
            "average_loss": metrics.mean(losses, weight, undefined=zero_division),
            **areas(labels, probabilities, weights, formula),
            **at_thresholds(labels, probabilities, weights, self.thresholds, formula),
        }
        for label in self.classes_for_class_based_metrics:
            index = self.classes.names.index(str(label))
            name = f"class{index}"
            if self.label_vocabulary is not None:
                name = self.classes.names[index]
            probability = probabilities[..., [index]]
            values[f"probability_mean/{name}"] = metrics.mean(
                probability, weight, undefined=zero_division
            )
            values |= areas(
                labels[..., [index]], probability, weights, formula, suffix=f"/{name}"
            )
        return values
