"""Heads of regression: squared error, and counts."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float
from numpy.typing import NDArray

from specflow.contract import (
    DEFAULT_SERVING,
    ExportOutput,
    PredictOutput,
    RegressionOutput,
)
from specflow.tf import metrics
from specflow.tf.heads.head import Head, diagnostic
from specflow.tf.heads.head_metrics import broadcast, undefined
from specflow.tf.heads.label_shapes import column_of

__all__ = ["PoissonRegressionHead", "RegressionHead"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegressionHead(Head):
    """Regression of one or several values per example: squared error.

    Labels are numbers, "b d", or "b" if d is 1. Predictions: `predictions`, "b d", and
    with an `inverse_link_fn` also `logits`. Metrics: `average_loss`,
    `label/mean`, `prediction/mean`. The weights may be "b d" too.

    >>> head = RegressionHead()
    >>> logits, labels = jnp.array([[1.0], [2.0]]), jnp.array([1.0, 4.0])
    >>> float(head.spec("eval", logits=logits, labels=labels).loss)
    2.0

    Source: tf.estimator.RegressionHead, TensorFlow 2.15.
    """

    label_dimension: int = 1
    """Number of values per example (d)."""
    inverse_link_fn: Callable[[Array], Array] | None = None
    """Function from logits to predictions; None: the identity. Any other needs a
    matching `loss_fn`."""

    has_own_weights: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.label_dimension < 1:
            problem = f"got {self.label_dimension}"
            raise diagnostic(self, "label_dimension", problem, expected="1 or more")

    @property
    def logits_dimension(self) -> int:
        return self.label_dimension

    def truth(self, labels: Any, logits: Float[Array, "b d"]) -> Float[Array, "b d"]:
        width = self.label_dimension
        return column_of(self, labels, logits, width=width).astype(jnp.float32)

    def losses(self, truth: Array, logits: Array) -> Array:
        return optax.squared_error(logits, truth)

    def predictions(self, logits: Float[Array, "b d"]) -> dict[str, Array]:
        if self.inverse_link_fn is None:
            return {"predictions": logits}
        return {"predictions": self.inverse_link_fn(logits), "logits": logits}

    def export_outputs(self, predictions: dict[str, Array]) -> dict[str, ExportOutput]:
        regression = RegressionOutput(predictions["predictions"])
        return {
            DEFAULT_SERVING: regression,
            "regression": regression,
            "predict": PredictOutput(predictions),
        }

    def measured(
        self, truth: Array, predictions: dict[str, Array], losses: Array
    ) -> tuple[Callable[..., dict[str, Any]], dict[str, Array]]:
        return self._metrics, {
            "labels": truth,
            "predictions": predictions["predictions"],
            "losses": losses,
        }

    def _metrics(
        self,
        labels: NDArray,
        predictions: NDArray,
        losses: NDArray,
        weights: NDArray | None = None,
    ) -> dict[str, Any]:
        weight, zero_division = broadcast(weights, losses), undefined(self.formula)
        return {
            "average_loss": metrics.mean(losses, weight, undefined=zero_division),
            "label/mean": metrics.mean(labels, weight, undefined=zero_division),
            "prediction/mean": metrics.mean(
                predictions, weight, undefined=zero_division
            ),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoissonRegressionHead(RegressionHead):
    """Poisson regression of counts: their expected values are exp(logits).

    Labels, predictions and metrics are those of `RegressionHead`, with `logits` beside
    `predictions`.

    >>> head = PoissonRegressionHead(compute_full_loss=False)
    >>> logits, labels = jnp.log(jnp.array([[2.0]])), jnp.array([3])
    >>> round(float(head.spec("eval", logits=logits, labels=labels).loss), 4)
    -0.0794

    Source: tf.estimator.PoissonRegressionHead and tf.nn.log_poisson_loss, TensorFlow
    2.15.
    """

    inverse_link_fn: Callable[[Array], Array] | None = jnp.exp
    compute_full_loss: bool = True
    """Adds Stirling's approximation of log(label!), a constant of the logits, to the
    loss."""

    def losses(self, truth: Array, logits: Array) -> Array:
        losses = jnp.exp(logits) - truth * logits
        # A negative label is no count: the training loop reports NaN.
        losses = jnp.where(truth >= 0, losses, jnp.nan)
        if not self.compute_full_loss:
            return losses
        # For labels up to 1 the approximation is worse than 0, which log(label!) is.
        count = jnp.maximum(truth, 1.0)
        stirling = count * jnp.log(count) - count + 0.5 * jnp.log(2 * jnp.pi * count)
        return losses + jnp.where(truth > 1, stirling, 0.0)
