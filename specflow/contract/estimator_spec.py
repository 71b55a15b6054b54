"""Specs: the loss, optimizer, metrics and outputs that a model function returns."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import field_validator

from specflow.contract.checked import Flaw, refuse
from specflow.contract.eval_metrics import check_pair
from specflow.contract.hook_methods import HostCallHook
from specflow.contract.host_pair import HostPair
from specflow.contract.mode import Mode
from specflow.contract.spec_fields import (
    ExportOutputs,
    FunctionAndTensors,
    Hook,
    Loss,
    SpecFields,
)
from specflow.contract.train_op import TrainOpLike
from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.runtime.typing import Tree, describe, is_array

__all__ = ["EstimatorSpec", "TPUEstimatorSpec"]


class _NoMetricError(TypeError, AttributeError):
    """A value is no metric: TensorFlow raises the first or the second, by its form."""


def _is_state(value: Any) -> bool:
    """Returns whether a value has the methods of a metric state."""
    methods = (getattr(value, name, None) for name in ("merge", "compute"))
    return not isinstance(value, type) and all(map(callable, methods))


def _is_metric_pair(value: Any) -> bool:
    """Returns whether a value is (value, state), or (value, tensor)."""
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    return is_array(value[1]) or _is_state(value[1])


def _shown(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, tuple):
        return f"({', '.join(map(describe, value))})"
    return describe(value)


class EstimatorSpec(SpecFields):
    """Spec with metric states as `eval_metric_ops`, the form for a single CPU.

    Args:
        mode: the mode that the model function was called for.
        predictions: an array or a (nested) dict of arrays.
        loss: an array of one element, or a `MeanLoss`.
        train_op: see `TPUEstimatorSpec`.
        eval_metric_ops: name -> metric state, or (value, state). While tracing, when
            tensors have no values, the pair (metric_fn, tensors) itself.
        export_outputs: see `TPUEstimatorSpec`.
        training_hooks: hooks called between device loops while training.
        evaluation_hooks: hooks called while evaluating.
        prediction_hooks: hooks called while predicting.

    Raises:
        SpecError: fields violate the contract; all of them are named.

    Source: tf.compat.v1.estimator.EstimatorSpec.
    """

    _fields = (
        "mode",
        "predictions",
        "loss",
        "train_op",
        "eval_metric_ops",
        "export_outputs",
    )

    eval_metric_ops: Any = None
    """Metric name -> metric state, or (value, state); a pair while tracing."""

    def __init__(
        self,
        mode: Mode | str,
        predictions: Tree = None,
        loss: Loss | None = None,
        train_op: TrainOpLike | None = None,
        eval_metric_ops: Mapping[str, Any] | HostPair | None = None,
        export_outputs: ExportOutputs | None = None,
        *,
        training_hooks: Iterable[Hook] | None = None,
        evaluation_hooks: Iterable[Hook] | None = None,
        prediction_hooks: Iterable[Hook] | None = None,
    ):
        self._fill(
            mode=mode,
            predictions=predictions,
            loss=loss,
            train_op=train_op,
            eval_metric_ops=eval_metric_ops,
            export_outputs=export_outputs,
            training_hooks=training_hooks,
            evaluation_hooks=evaluation_hooks,
            prediction_hooks=prediction_hooks,
        )

    @field_validator("eval_metric_ops")
    @classmethod
    def _metrics(cls, value: Any) -> Any:
        if value is None:
            return {}
        if isinstance(value, HostPair):
            return value
        if not isinstance(value, Mapping):
            refuse(
                Flaw(
                    f"got {describe(value)}",
                    kind=TypeError,
                    expected="a dict: metric name -> state or (value, state)",
                )
            )
        flaws = [
            Flaw(
                f"got {_shown(metric)}",
                kind=_NoMetricError,
                at=f"[{name!r}]",
                expected="a metric state (merge, compute) or a tuple (value, state)",
            )
            for name, metric in value.items()
            if not _is_state(metric) and not _is_metric_pair(metric)
        ]
        if flaws:
            refuse(*flaws)
        return dict(value)

    def _replace(self, **changes: Any) -> Self:
        mode = changes.get("mode", self.mode)
        if mode != self.mode:
            raise spec_error(
                Diagnostic(
                    "EstimatorSpec.mode",
                    f"cannot change from {self.mode!s} to {mode!s}",
                    hint="Create a new spec.",
                    code="spec",
                )
            )
        return super()._replace(**changes)


class TPUEstimatorSpec(SpecFields):
    """Loss, optimizer, metrics and outputs of a model function for one mode.

    Validated on construction, while tracing, by shape and dtype alone: NumPy and JAX
    arrays, tracers and ShapeDtypeStructs are accepted. A spec is frozen, a pytree whose
    leaves are its arrays, and a tuple of its first six fields.

    Args:
        mode: `'train'`, `'eval'`, `'infer'`, or a `Mode`.
        predictions: an array or a nested dict of arrays; required in PREDICT.
        loss: an array of one element, of any rank, or a `MeanLoss`, whose mean stays
            exact when a batch is split into micro-batches. Required in TRAIN, where it
            must be floating, and in EVAL.
        train_op: an optax GradientTransformation, a `TrainOp`, or a function
            `(state, batch) -> (state, metrics)`; required in TRAIN.
        eval_metrics: (metric_fn, tensors). The tensors, a list or a dict, are
            batch-major; metric_fn runs on the host, gets their rows of the global batch
            as NumPy arrays without padding, and returns name -> metric state, or
            name -> (value, state).
        export_outputs: signature name -> `PredictOutput`, `ClassificationOutput` or
            `RegressionOutput`; by default one `PredictOutput` of all predictions.
        host_call: (function, tensors); the function is called on the host after steps,
            with the tensors as NumPy arrays.
        training_hooks: hooks called between device loops while training.
        evaluation_hooks: hooks called while evaluating.
        prediction_hooks: hooks called while predicting.

    Raises:
        SpecError: fields violate the contract. All of them are named; the error is also
            a ValueError, a TypeError or both, according to the violated rules.

    Source: tf.compat.v1.estimator.tpu.TPUEstimatorSpec.

    >>> import numpy as np
    >>> spec = TPUEstimatorSpec("eval", loss=np.ones([1, 1]))
    >>> spec.mode, spec.loss.shape, spec[2] is spec.loss
    (<Mode.EVAL: 'eval'>, (), True)
    """

    ARRAYS = (*SpecFields.ARRAYS, "eval_metrics", "host_call")
    _fields = (
        "mode",
        "predictions",
        "loss",
        "train_op",
        "eval_metrics",
        "export_outputs",
    )

    eval_metrics: Any = None
    """(metric_fn, tensors) as a `HostPair`, or None."""
    host_call: Any = None
    """(function, tensors) as a `HostPair`, or None."""

    def __init__(
        self,
        mode: Mode | str,
        predictions: Tree = None,
        loss: Loss | None = None,
        train_op: TrainOpLike | None = None,
        eval_metrics: FunctionAndTensors | None = None,
        export_outputs: ExportOutputs | None = None,
        *,
        host_call: FunctionAndTensors | None = None,
        training_hooks: Iterable[Hook] | None = None,
        evaluation_hooks: Iterable[Hook] | None = None,
        prediction_hooks: Iterable[Hook] | None = None,
    ):
        self._fill(
            mode=mode,
            predictions=predictions,
            loss=loss,
            train_op=train_op,
            eval_metrics=eval_metrics,
            export_outputs=export_outputs,
            host_call=host_call,
            training_hooks=training_hooks,
            evaluation_hooks=evaluation_hooks,
            prediction_hooks=prediction_hooks,
        )

    @field_validator("eval_metrics", "host_call")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        return check_pair(value)

    def as_estimator_spec(self) -> EstimatorSpec:
        """Converts to an `EstimatorSpec`, for a single CPU.

        The function of `eval_metrics` is called here, on the host, and its result is
        `eval_metric_ops`; while tracing, when tensors have no values, the pair is kept
        and called later. `host_call` becomes a hook of every mode. A model function may
        return either spec, with the same results.

        Raises:
            SpecError: the metric function returned a value that is no metric.
        """
        metrics: Any = self.eval_metrics
        if self.eval_metrics is not None and self.eval_metrics.has_values():
            metrics = self.eval_metrics()
        host_hooks = () if self.host_call is None else (HostCallHook(self.host_call),)
        return EstimatorSpec(
            mode=self.mode,
            predictions=self.predictions,
            loss=self.loss if self.mean_loss is None else self.mean_loss,
            train_op=self.train_op,
            eval_metric_ops=metrics,
            export_outputs=self.export_outputs,
            training_hooks=(*self.training_hooks, *host_hooks),
            evaluation_hooks=(*self.evaluation_hooks, *host_hooks),
            prediction_hooks=(*self.prediction_hooks, *host_hooks),
        )
