"""Base class of heads: from logits and labels to the spec of a mode."""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from specflow.contract import ExportOutput, Mode, TPUEstimatorSpec
from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.runtime.callables import check_callables
from specflow.runtime.typing import Tree, describe, is_array
from specflow.spec.row_mask import gated
from specflow.tf.heads.loss_reduction import LossReduction, reduced

__all__ = ["Formula", "Head", "diagnostic"]

Formula: TypeAlias = Literal["exact", "tf"]
"""`exact`: area under the ROC curve without thresholds, undefined metrics are NaN.
`tf`: TensorFlow's 200 thresholds, and 0 where a denominator is zero. The area under the
precision-recall curve always uses 200 thresholds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head(abc.ABC):
    """Loss, predictions, metrics and export signatures of a model's logits.

    Source: tf.estimator.Head, TensorFlow 2.15.
    """

    weight_column: str | None = None
    """Feature with the weight of each example, "b" or "b 1"; None: all weigh 1."""
    loss_reduction: LossReduction | str = LossReduction.SUM_OVER_BATCH_SIZE
    """Denominator of the sum of weighted losses."""
    loss_fn: Callable[..., Float[Array, "b ..."]] | None = None
    """Function `(labels, logits)` -> losses, in place of the head's own, of the same
    shape."""
    formula: Formula = "exact"
    """Formula of metrics where TensorFlow's differ from the exact ones."""

    has_own_weights: ClassVar[bool] = False
    """True if each value of an example may have a weight, not only each example."""

    def __post_init__(self) -> None:
        check_callables(
            {"loss_fn": self.loss_fn},
            expected="a function of labels and logits",
        )
        reductions = [str(reduction) for reduction in LossReduction]
        if self.loss_reduction not in reductions:
            raise diagnostic(
                self,
                "loss_reduction",
                f"got {self.loss_reduction!r}",
                expected=f"one of {', '.join(reductions)}",
            )

    @property
    @abc.abstractmethod
    def logits_dimension(self) -> int:
        """Size of the logits' last axis: number of values the model returns per row."""

    def spec(
        self,
        mode: Mode | str,
        *,
        logits: Float[Array, "b ..."],
        features: Tree = None,
        labels: Tree = None,
        train_op: Any = None,
        mask: Bool[Array, " b"] | None = None,
    ) -> TPUEstimatorSpec:
        """Builds the spec that a model function returns for a mode.

        Args:
            mode: train, eval or predict.
            logits: output of the model, "b d" with d = `logits_dimension`, or "b" if
                that is 1.
            features: contains the weights, if there is a `weight_column`.
            labels: true labels; not needed in PREDICT.
            train_op: an optax transformation, or a `TrainOp`.
            mask: True for real rows, the argument `mask` of a model function. Padded
                rows do not contribute to the loss.

        Returns:
            The spec, with the fields that the mode needs.

        Raises:
            SpecError: logits, labels or weights are missing or do not fit.
        """
        mode = Mode(mode)
        logits = self._shaped(logits)
        predictions = self.predictions(logits)
        if mode is Mode.PREDICT:
            return TPUEstimatorSpec(
                mode=mode,
                predictions=predictions,
                export_outputs=self.export_outputs(predictions),
            )
        if labels is None:
            raise diagnostic(self, "labels", f"are None, and mode '{mode}' needs them")
        truth = self.truth(labels, logits)
        losses = self._losses(truth, logits)
        weights, real = self._weights(features, losses), self.counted(truth)
        if mask is not None:
            rows = mask.reshape(-1, *(1,) * (losses.ndim - 1))
            real = rows if real is None else rows & real
        if mode is Mode.TRAIN and (real is not None or weights is not None):
            # Rows that do not count must not propagate a gradient, not even NaN.
            counted = _counted(weights, real, losses)
            losses = self._losses(truth, gated(logits, counted))
        metric_fn, tensors = self.measured(truth, predictions, losses)
        if weights is not None:
            tensors["weights"] = weights
        return TPUEstimatorSpec(
            mode=mode,
            predictions=predictions,
            loss=reduced(losses, weights, real, LossReduction(self.loss_reduction)),
            train_op=train_op if mode is Mode.TRAIN else None,
            eval_metrics=(metric_fn, tensors) if mode is Mode.EVAL else None,
        )

    # -- what subclasses define

    @abc.abstractmethod
    def truth(self, labels: Any, logits: Float[Array, "b ..."]) -> Array:
        """Converts labels to the form that `losses` takes."""

    @abc.abstractmethod
    def losses(self, truth: Array, logits: Float[Array, "b ..."]) -> Array:
        """Computes one loss per example (or value), without weights."""

    @abc.abstractmethod
    def predictions(self, logits: Float[Array, "b ..."]) -> dict[str, Array]:
        """Computes predictions from logits, under TensorFlow's names."""

    @abc.abstractmethod
    def export_outputs(self, predictions: dict[str, Array]) -> dict[str, ExportOutput]:
        """Builds the signatures of the exported model."""

    @abc.abstractmethod
    def measured(
        self, truth: Array, predictions: dict[str, Array], losses: Array
    ) -> tuple[Callable[..., dict[str, Any]], dict[str, Array]]:
        """Returns `(metric_fn, tensors)`; `metric_fn` also takes `weights`, or None."""

    def counted(self, truth: Array) -> Bool[Array, "b ..."] | None:
        """Returns a mask of the losses that count; None: all of them."""
        return None

    # -- checks

    def _shaped(self, logits: Any) -> Float[Array, "b ..."]:
        """Checks the logits; returns them in float32 with a last axis."""
        width = self.logits_dimension
        if is_array(logits) and len(logits.shape) == 1 and width == 1:
            logits = logits[:, None]
        if not is_array(logits) or len(logits.shape) < 2 or logits.shape[-1] != width:
            raise diagnostic(
                self,
                "logits",
                f"are {describe(logits)}",
                expected=f"a last axis of {width}",
                hint=f"Let the model return {width} values per example.",
            )
        return jnp.asarray(logits).astype(jnp.float32)

    def _losses(self, truth: Array, logits: Float[Array, "b ..."]) -> Array:
        own = self.losses(truth, logits)
        if self.loss_fn is None:
            return own
        losses = self.loss_fn(truth, logits)
        if not is_array(losses) or losses.shape != own.shape:
            raise diagnostic(
                self,
                "loss_fn",
                f"returned {describe(losses)}",
                expected=describe(own) + ", one loss each",
                hint="Leave the mean to the head, which applies weights and the mask.",
            )
        return losses.astype(jnp.float32)

    def _weights(self, features: Tree, losses: Array) -> Array | None:
        """Checks the weights; returns them with as many axes as the losses."""
        if self.weight_column is None:
            return None
        where = f"weight_column={self.weight_column!r}"
        if not isinstance(features, Mapping) or self.weight_column not in features:
            names = (
                ", ".join(map(str, features)) if isinstance(features, Mapping) else ""
            )
            raise diagnostic(
                self,
                where,
                "is not a feature",
                expected=f"one of {names}" if names else "a dict of features",
                hint="Pass features=features to spec()." if not names else "",
            )
        weights = features[self.weight_column]
        rows = (*losses.shape[:-1], 1) if losses.ndim > 1 else losses.shape
        fitting = {(rows[0],), rows[:-1], rows, rows[:1] + (1,) * (losses.ndim - 1)}
        if self.has_own_weights:
            fitting.add(losses.shape)
        if tuple(weights.shape) not in fitting:
            raise diagnostic(
                self,
                where,
                f"is {describe(weights)}, and the losses are {describe(losses)}",
                expected="one weight per example",
            )
        missing = losses.ndim - len(weights.shape)
        return weights.reshape(*weights.shape, *(1,) * missing).astype(jnp.float32)


def _counted(weights: Array | None, real: Array | None, losses: Array) -> Array:
    """Returns the mask of losses that count, without a last axis of size 1."""
    counted = jnp.ones(losses.shape, bool)
    if real is not None:
        counted &= real
    if weights is not None:
        counted &= weights != 0
    return counted[..., 0] if losses.shape[-1] == 1 and losses.ndim > 1 else counted


def diagnostic(
    head: Head, field: str, problem: str, *, expected: str = "", hint: str = ""
) -> Exception:
    """Builds a `SpecError` that names the head."""
    where = f"{type(head).__name__}, {field}"
    return spec_error(
        Diagnostic(where, problem, expected=expected, hint=hint, code="head")
    )
