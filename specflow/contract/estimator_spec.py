"""Specs: the loss, optimizer, metrics and outputs that a model function returns."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

from pydantic import ValidationInfo, field_validator

from specflow.contract.checked import Checked, Flaw, refuse
from specflow.contract.eval_metrics import check_pair
from specflow.contract.export_outputs import ExportOutput, complete_export_outputs
from specflow.contract.hook_methods import HostCallHook, check_hooks
from specflow.contract.host_pair import HostPair
from specflow.contract.mean_loss import MeanLoss
from specflow.contract.mode import REQUIRED, Mode
from specflow.contract.train_op import TrainOpLike, check_train_op
from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.runtime.typing import ArrayLike, Tree, describe, is_array, is_floating

__all__ = ["EstimatorSpec", "TPUEstimatorSpec"]

Loss: TypeAlias = ArrayLike | MeanLoss
"""An array of one element, or a mean with its denominator."""
Hook: TypeAlias = Any
"""An object with one of the methods `begin`, `before_step`, `after_step`, `end`."""
ExportOutputs: TypeAlias = Mapping[str, ExportOutput]
"""Signature name -> outputs."""
FunctionAndTensors: TypeAlias = (
    HostPair | tuple[Callable[..., Any], Sequence[Any] | Mapping[str, Any]]
)
"""A function of the host, and the batch-major tensors that it is called with."""

_EXAMPLE = {
    "loss": "TPUEstimatorSpec(..., loss=losses.mean())",
    "train_op": "TPUEstimatorSpec(..., train_op=optax.adamw(1e-3))",
    "predictions": "TPUEstimatorSpec(..., predictions={'class': logits.argmax(-1)})",
}


class _Spec(Checked):
    """Fields and rules that both specs share; also a tuple of its first six fields."""

    ARRAYS: ClassVar[tuple[str, ...]] = (
        "predictions",
        "loss",
        "mean_loss",
        "export_outputs",
    )
    _fields: ClassVar[tuple[str, ...]]

    mode: Any
    """The `Mode` that the model function was called for."""
    predictions: Any = None
    """An array or a nested dict of arrays; `{}` if none was given."""
    loss: Any = None
    """Scalar loss, float[]; the value of a `MeanLoss`."""
    train_op: Any = None
    """The optax GradientTransformation, `TrainOp` or step function."""
    export_outputs: Any = None
    """Signature name -> `ExportOutput`, the default signature included; in PREDICT."""
    training_hooks: Any = ()
    """Hooks called between device loops while training."""
    evaluation_hooks: Any = ()
    """Hooks called while evaluating."""
    prediction_hooks: Any = ()
    """Hooks called while predicting."""
    mean_loss: Any = None
    """The `MeanLoss` that was passed as `loss`; None if it was an array."""

    def _fill(self, *, loss: Any, **fields: Any) -> None:
        if isinstance(loss, MeanLoss):
            super()._fill(loss=loss.value, mean_loss=loss, **fields)
        else:
            super()._fill(loss=loss, **fields)

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments that give an equal spec."""
        fields = dict(vars(self))
        mean = fields.pop("mean_loss")
        return fields if mean is None else {**fields, "loss": mean}

    @field_validator("mode")
    @classmethod
    def _known_mode(cls, value: Any) -> Mode:
        try:
            return Mode(value)
        except ValueError:
            refuse(
                Flaw(
                    f"got {value!r:.60}",
                    expected="'train', 'eval' or 'infer', or a Mode",
                )
            )

    @field_validator("predictions", "loss", "train_op")
    @classmethod
    def _required(cls, value: Any, info: ValidationInfo) -> Any:
        mode, field = info.data.get("mode"), str(info.field_name)
        if value is None and mode is not None and field in REQUIRED[mode]:
            refuse(
                Flaw(
                    f"is missing, and Mode.{mode.name} needs it",
                    hint=f"For example {_EXAMPLE[field]}.",
                )
            )
        return value

    @field_validator("predictions")
    @classmethod
    def _arrays(cls, value: Any) -> Any:
        if value is None:
            return {}
        if is_array(value):
            return value
        if not isinstance(value, Mapping):
            refuse(
                Flaw(
                    f"got {describe(value)}",
                    kind=TypeError,
                    expected="an array or a dict of arrays",
                )
            )
        flaws = [
            Flaw(f"got {describe(leaf)}", kind=TypeError, at=f"[{path!r}]",
                 expected="an array")
            for path, leaf in _entries(value)
            if not is_array(leaf)
        ]  # fmt: skip
        if flaws:
            refuse(*flaws)
        return value

    @field_validator("loss")
    @classmethod
    def _scalar(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None:
            return None
        if not is_array(value):
            refuse(
                Flaw(
                    f"got {value!r:.60}",
                    kind=TypeError,
                    expected="an array of one element",
                )
            )
        flaws = []
        if any(size != 1 for size in value.shape):
            flaws.append(
                Flaw(
                    f"is {describe(value)}",
                    expected="one element",
                    hint="Average over the batch, for example losses.mean().",
                )
            )
        if info.data.get("mode") is Mode.TRAIN and not is_floating(value.dtype):
            flaws.append(
                Flaw(f"is {describe(value)}", kind=TypeError,
                     expected="a floating loss, which can be differentiated")
            )  # fmt: skip
        if flaws:
            refuse(*flaws)
        if value.shape == ():
            return value
        if hasattr(value, "reshape"):
            return value.reshape(())
        return type(value)(shape=(), dtype=value.dtype)

    @field_validator("train_op")
    @classmethod
    def _optimizer(cls, value: Any) -> Any:
        return None if value is None else check_train_op(value)

    @field_validator("export_outputs")
    @classmethod
    def _signatures(cls, value: Any, info: ValidationInfo) -> Any:
        # Only predictions are exported, so signatures of other modes are not checked.
        if info.data.get("mode") is not Mode.PREDICT or "predictions" not in info.data:
            return value
        return complete_export_outputs(value, info.data["predictions"])

    @field_validator("training_hooks", "evaluation_hooks", "prediction_hooks")
    @classmethod
    def _hooks(cls, value: Any) -> Any:
        return check_hooks(value)

    # Access as a named tuple, which TensorFlow's spec is.

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        return (getattr(self, name) for name in self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __getitem__(self, index: Any) -> Any:
        return tuple(self)[index]

    def _replace(self, **changes: Any) -> Self:
        """Returns a copy with some fields changed, validated like any spec."""
        return type(self)(**{**self.arguments(), **changes})


def _entries(tree: Mapping[Any, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of each leaf of nested dicts."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _entries(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


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


class EstimatorSpec(_Spec):
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


class TPUEstimatorSpec(_Spec):
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

    ARRAYS = (*_Spec.ARRAYS, "eval_metrics", "host_call")
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
