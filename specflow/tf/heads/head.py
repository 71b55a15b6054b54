"""What all heads share: from logits and labels to the spec of a mode."""

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
"""`exact`: areas under the ROC curve without thresholds, undefined metrics are NaN.
`tf`: TensorFlow's 200 thresholds, and 0 where there is nothing to divide by. The area
under the precision-recall curve is always that of 200 thresholds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head(abc.ABC):
    """The last part of a model: what its logits mean, and how they are judged.

    Source: tf.estimator.Head, TensorFlow 2.15.
    """

    weight_column: str | None = None
    """Feature that weighs each example, "b" or "b 1"; None weighs all alike."""
    loss_reduction: LossReduction | str = LossReduction.SUM_OVER_BATCH_SIZE
    """What the sum of the weighted losses is divided by."""
    loss_fn: Callable[..., Float[Array, "b ..."]] | None = None
    """`(labels, logits)` to losses, in place of the head's own, shaped as those."""
    formula: Formula = "exact"
    """How metrics are reckoned where TensorFlow's differ from the exact ones."""

    has_own_weights: ClassVar[bool] = False
    """Whether each value of an example may have a weight, not only each example."""

    def __post_init__(self) -> None:
        check_callables(
            {"loss_fn": self.loss_fn},
            expected="a function of labels and logits",
        )
        known = [str(way) for way in LossReduction]
        if self.loss_reduction not in known:
            raise diagnostic(
                self,
                "loss_reduction",
                f"got {self.loss_reduction!r}",
                expected=f"one of {', '.join(known)}",
            )

    @property
    @abc.abstractmethod
    def logits_dimension(self) -> int:
        """Size of the logits' last axis: how many values the model has to return."""

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
        """What a model function returns for a mode.

        Args:
            mode: what is asked for.
            logits: what the model says, "b d" with `logits_dimension` values; "b" will
                do for one.
            features: holds the weights, where there is a `weight_column`.
            labels: what is true; PREDICT needs none.
            train_op: trains the model: an optax transformation, or a `TrainOp`.
            mask: which rows are real, as a model function is told that takes `mask`.
                Padded rows have no part in the loss.

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
            # Now that it is known what counts, no other row passes a gradient on.
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

    # -- what a head says of its own

    @abc.abstractmethod
    def truth(self, labels: Any, logits: Float[Array, "b ..."]) -> Array:
        """The labels as the losses take them."""

    @abc.abstractmethod
    def losses(self, truth: Array, logits: Float[Array, "b ..."]) -> Array:
        """One loss for each example (or value), before weights."""

    @abc.abstractmethod
    def predictions(self, logits: Float[Array, "b ..."]) -> dict[str, Array]:
        """What the logits come to, by TensorFlow's names."""

    @abc.abstractmethod
    def export_outputs(self, predictions: dict[str, Array]) -> dict[str, ExportOutput]:
        """The signatures of the exported model."""

    @abc.abstractmethod
    def measured(
        self, truth: Array, predictions: dict[str, Array], losses: Array
    ) -> tuple[Callable[..., dict[str, Any]], dict[str, Array]]:
        """`(metric_fn, tensors)`; the function also takes `weights`, None or not."""

    def counted(self, truth: Array) -> Bool[Array, "b ..."] | None:
        """Which losses count at all; None: every one."""
        return None

    # -- checks

    def _shaped(self, logits: Any) -> Float[Array, "b ..."]:
        """The logits in float32, with their last axis."""
        width = self.logits_dimension
        if is_array(logits) and len(logits.shape) == 1 and width == 1:
            logits = logits[:, None]
        if not is_array(logits) or len(logits.shape) < 2 or logits.shape[-1] != width:
            raise diagnostic(
                self,
                "logits",
                f"are {describe(logits)}",
                expected=f"a last axis of {width}",
                hint=f"Let the model return {width} values an example.",
            )
        return jnp.asarray(logits).astype(jnp.float32)

    def _losses(self, truth: Array, logits: Float[Array, "b ..."]) -> Array:
        own = self.losses(truth, logits)
        if self.loss_fn is None:
            return own
        given = self.loss_fn(truth, logits)
        if not is_array(given) or given.shape != own.shape:
            raise diagnostic(
                self,
                "loss_fn",
                f"returned {describe(given)}",
                expected=describe(own) + ", a loss each",
                hint="Leave the mean to the head, which knows weights and padding.",
            )
        return given.astype(jnp.float32)

    def _weights(self, features: Tree, losses: Array) -> Array | None:
        """The weights, with the losses' number of axes."""
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
                "is no feature",
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
                expected="one weight an example",
            )
        missing = losses.ndim - len(weights.shape)
        return weights.reshape(*weights.shape, *(1,) * missing).astype(jnp.float32)


def _counted(weights: Array | None, real: Array | None, losses: Array) -> Array:
    """Which losses count, without axes that the logits may have more of."""
    counted = jnp.ones(losses.shape, bool)
    if real is not None:
        counted &= real
    if weights is not None:
        counted &= weights != 0
    return counted[..., 0] if losses.shape[-1] == 1 and losses.ndim > 1 else counted


def diagnostic(
    head: Head, field: str, problem: str, *, expected: str = "", hint: str = ""
) -> Exception:
    """A `SpecError` that names the head."""
    where = f"{type(head).__name__}, {field}"
    return spec_error(
        Diagnostic(where, problem, expected=expected, hint=hint, code="head")
    )
