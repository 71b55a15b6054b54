"""Head of next-token prediction."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import NDArray

from specflow.contract import DEFAULT_SERVING, ExportOutput, PredictOutput
from specflow.metrics import BitsPerByte, Perplexity
from specflow.tf import metrics
from specflow.tf.heads.head import Head, diagnostic
from specflow.tf.heads.head_metrics import broadcast, undefined
from specflow.tf.heads.label_shapes import column_of, in_range

__all__ = ["LanguageHead"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LanguageHead(Head):
    """Next-token prediction at every position: softmax cross-entropy, per token.

    Logits are "b t v", labels the next tokens, "b t". Predictions: `logits` and
    `probabilities`, "b t v", and `class_ids`, "b t", the most probable tokens. Metrics,
    over all tokens that are not ignored: `average_loss`, `accuracy`, `perplexity`,
    `bits_per_byte`. The weights may be "b t" too.

    >>> head = LanguageHead(4, ignore_label=-1)
    >>> logits, labels = jnp.zeros((1, 3, 4)), jnp.array([[2, 0, -1]])
    >>> spec = head.spec("eval", logits=logits, labels=labels)
    >>> metric_fn, tensors = spec.eval_metrics
    >>> value, state = metric_fn(**jax.device_get(tensors))["average_loss"]
    >>> round(value, 4), round(float(spec.loss), 4), int(state.count)
    (1.3863, 1.3863, 2)
    """

    vocabulary_size: int = dataclasses.field(kw_only=False)
    ignore_label: int | None = None
    """Label of positions that are excluded from loss and metrics."""
    bytes_per_token: float = 1.0
    """Mean number of bytes per token, for `bits_per_byte`."""

    has_own_weights: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vocabulary_size < 2:
            problem = f"got {self.vocabulary_size}"
            raise diagnostic(self, "vocabulary_size", problem, expected="2 or more")

    @property
    def logits_dimension(self) -> int:
        return self.vocabulary_size

    def truth(self, labels: Any, logits: Float[Array, "b t v"]) -> Int[Array, "b t"]:
        return column_of(self, labels, logits, integer=True)[..., 0]

    def counted(self, truth: Int[Array, "b t"]) -> Bool[Array, "b t"] | None:
        return None if self.ignore_label is None else truth != self.ignore_label

    def losses(self, truth: Array, logits: Array) -> Array:
        highest = self.vocabulary_size - 1
        tokens = jnp.clip(truth, 0, highest)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, tokens)
        losses = in_range(losses, truth, highest=highest)
        counted = self.counted(truth)
        return losses if counted is None else jnp.where(counted, losses, 0.0)

    def predictions(self, logits: Float[Array, "b t v"]) -> dict[str, Array]:
        return {
            "logits": logits,
            "probabilities": jax.nn.softmax(logits),
            "class_ids": logits.argmax(-1).astype(jnp.int32),
        }

    def export_outputs(self, predictions: dict[str, Array]) -> dict[str, ExportOutput]:
        output = PredictOutput(predictions)
        return {DEFAULT_SERVING: output, "predict": output}

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
        if self.ignore_label is not None:
            counted = labels != self.ignore_label
            weight = counted if weight is None else counted * weight
        return {
            "average_loss": metrics.mean(losses, weight, undefined=zero_division),
            "accuracy": metrics.accuracy(
                labels, class_ids, weight, undefined=zero_division
            ),
            "perplexity": Perplexity.from_batch(losses, weight),
            "bits_per_byte": BitsPerByte.from_batch(
                losses, weight, bytes_per_token=self.bytes_per_token
            ),
        }
