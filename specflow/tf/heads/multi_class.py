"""Head of multi-class classification."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int
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
from specflow.tf.heads.head_metrics import broadcast, undefined
from specflow.tf.heads.label_shapes import column_of, in_range

__all__ = ["MultiClassHead"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiClassHead(Head):
    """Multi-class classification from one logit per class: softmax cross-entropy.

    Labels are class indices, or members of `label_vocabulary`, "b" or "b 1".
    Predictions, "b c" or "b 1": `logits`, `probabilities`, `class_ids`, `classes` (by
    their labels), `all_class_ids`, `all_classes`. Metrics: `average_loss`, `accuracy`.

    >>> head = MultiClassHead(3)
    >>> logits, labels = jnp.array([[0.0, 3.0, 0.0]]), jnp.array([1])
    >>> spec = head.spec("eval", logits=logits, labels=labels)
    >>> round(float(spec.loss), 4), spec.predictions["class_ids"].tolist()
    (0.0949, [[1]])

    Source: tf.estimator.MultiClassHead, TensorFlow 2.15.
    """

    n_classes: int = dataclasses.field(kw_only=False)
    """Number of classes, 3 or more; `BinaryClassHead` is for two."""
    label_vocabulary: Vocabulary | None = None
    """Label of each class; None: its index. String labels are encoded as class indices
    on the host: `head.classes.encode(labels)`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_classes < 3:
            problem = f"got {self.n_classes}"
            hint = "For two classes use BinaryClassHead."
            raise diagnostic(
                self, "n_classes", problem, expected="3 or more", hint=hint
            )
        where = type(self).__name__
        vocabulary = vocabulary_of(self.label_vocabulary, self.n_classes, where=where)
        object.__setattr__(self, "label_vocabulary", vocabulary)

    @property
    def logits_dimension(self) -> int:
        return self.n_classes

    @property
    def classes(self) -> Classes:
        """Class indices and their labels."""
        return Classes(self.n_classes, self.label_vocabulary)

    def truth(self, labels: Any, logits: Float[Array, "b c"]) -> Int[Array, "b 1"]:
        return self.classes.ids(column_of(self, labels, logits, integer=True))

    def losses(self, truth: Array, logits: Array) -> Array:
        ids = jnp.clip(truth[..., 0], 0, self.n_classes - 1)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, ids)
        return in_range(losses[..., None], truth, highest=self.n_classes - 1)

    def predictions(self, logits: Float[Array, "b c"]) -> dict[str, Array]:
        ids = logits.argmax(-1, keepdims=True).astype(jnp.int32)
        every = self.classes.all(ids)
        return {
            "logits": logits,
            "probabilities": jax.nn.softmax(logits),
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
            "predict": PredictOutput(predictions),
        }

    def measured(
        self, truth: Array, predictions: dict[str, Array], losses: Array
    ) -> tuple[Callable[..., dict[str, Any]], dict[str, Array]]:
        ids = predictions["class_ids"]
        return self._metrics, {"labels": truth, "class_ids": ids, "losses": losses}

    def _metrics(
        self,
        labels: NDArray,
        class_ids: NDArray,
        losses: NDArray,
        weights: NDArray | None = None,
    ) -> dict[str, Any]:
        weight, zero_division = broadcast(weights, losses), undefined(self.formula)
        return {
            "average_loss": metrics.mean(losses, weight, undefined=zero_division),
            "accuracy": metrics.accuracy(
                labels, class_ids, weight, undefined=zero_division
            ),
        }
