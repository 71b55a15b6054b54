"""What a model function returns for a mode: all that is needed to train, evaluate,
predict and export, on one CPU or on a pod.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

from pydantic import ValidationInfo, field_validator

from specflow.contract.checked import Checked, Flaw, refuse
from specflow.contract.eval_metrics import check_pair
from specflow.contract.export_outputs import complete_export_outputs
from specflow.contract.hook_methods import HostCallHook, check_hooks
from specflow.contract.host_pair import HostPair
from specflow.contract.mean_loss import MeanLoss
from specflow.contract.mode import REQUIRED, Mode
from specflow.contract.train_op import check_train_op
from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.runtime.typing import describe, is_array, is_floating

__all__ = ["EstimatorSpec", "TPUEstimatorSpec"]

_EXAMPLE = {
    "loss": "TPUEstimatorSpec(..., loss=losses.mean())",
    "train_op": "TPUEstimatorSpec(..., train_op=optax.adamw(1e-3))",
    "predictions": "TPUEstimatorSpec(..., predictions={'class': logits.argmax(-1)})",
}


class _Spec(Checked):
    """The fields and rules that both specs share; also a tuple of its first six."""

    ARRAYS: ClassVar[tuple[str, ...]] = (
        "predictions",
        "loss",
        "mean_loss",
        "export_outputs",
    )
    _fields: ClassVar[tuple[str, ...]]

    mode: Any
    predictions: Any = None
    loss: Any = None
    train_op: Any = None
    export_outputs: Any = None
    training_hooks: Any = ()
    evaluation_hooks: Any = ()
    prediction_hooks: Any = ()
    mean_loss: Any = None
    """The `MeanLoss` that was given as `loss`; None if it was an array."""

    def _fill(self, *, loss: Any, **fields: Any) -> None:
        if isinstance(loss, MeanLoss):
            super()._fill(loss=loss.value, mean_loss=loss, **fields)
        else:
            super()._fill(loss=loss, **fields)

    def arguments(self) -> dict[str, Any]:
        """What would make the same spec again."""
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
        # Only a prediction is exported, so only there are signatures looked at.
        if info.data.get("mode") is not Mode.PREDICT or "predictions" not in info.data:
            return value
        return complete_export_outputs(value, info.data["predictions"])

    @field_validator("training_hooks", "evaluation_hooks", "prediction_hooks")
    @classmethod
    def _hooks(cls, value: Any) -> Any:
        return check_hooks(value)

    # The named tuple that the reference's spec was.

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        return (getattr(self, name) for name in self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __getitem__(self, index: Any) -> Any:
        return tuple(self)[index]

    def _replace(self, **changes: Any) -> Self:
        """A new spec with some fields changed, checked as any other."""
        return type(self)(**{**self.arguments(), **changes})


def _entries(tree: Mapping[Any, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """What stands in nested dicts, with its dotted path."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _entries(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


class _NoMetricError(TypeError, AttributeError):
    """What should be a metric is none (the reference raised one or the other)."""


def _is_state(value: Any) -> bool:
    methods = (getattr(value, name, None) for name in ("merge", "compute"))
    return not isinstance(value, type) and all(map(callable, methods))


def _is_metric_pair(value: Any) -> bool:
    """Whether a value is (value, state), or a tensor in place of the state."""
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
    """The plain spec: metrics as `eval_metric_ops`, called as soon as there are values.

    Args:
        mode: what was asked for.
        predictions: an array or a (nested) dict of arrays.
        loss: an array of one element, or a `MeanLoss`.
        train_op: see `TPUEstimatorSpec`.
        eval_metric_ops: name -> metric state, or (value, state). While tracing there is
            nothing to call a metric function with: then the pair of function and
            tensors stands here.
        export_outputs: see `TPUEstimatorSpec`.
        training_hooks: hooks that act while training.
        evaluation_hooks: hooks that act while evaluating.
        prediction_hooks: hooks that act while predicting.

    Raises:
        SpecError: fields break the contract; all of them are named.
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

    def __init__(
        self,
        mode: Any,
        predictions: Any = None,
        loss: Any = None,
        train_op: Any = None,
        eval_metric_ops: Any = None,
        export_outputs: Any = None,
        *,
        training_hooks: Any = None,
        evaluation_hooks: Any = None,
        prediction_hooks: Any = None,
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
                    hint="Make a new spec.",
                    code="spec",
                )
            )
        return super()._replace(**changes)


class TPUEstimatorSpec(_Spec):
    """What a model function returns; checked where it is made, while tracing.

    Shapes and dtypes alone are looked at, so NumPy and JAX arrays, tracers and
    ShapeDtypeStructs all do. It is frozen, a pytree (arrays are its leaves) and a tuple
    of its first six fields.

    Args:
        mode: `'train'`, `'eval'`, `'infer'`, or a `Mode`.
        predictions: an array or a (nested) dict of arrays; PREDICT needs it.
        loss: an array of one element, any rank, or a `MeanLoss`, which keeps its mean
            exact over parts of a batch; TRAIN and EVAL need it, TRAIN floating.
        train_op: an optax GradientTransformation, a `TrainOp`, or a function
            `(state, batch) -> (state, metrics)`; TRAIN needs it.
        eval_metrics: (metric_fn, tensors). The tensors, a list or a dict, are
            batch-major; metric_fn runs on the host on the rows of the whole global
            batch and returns name -> state, or name -> (value, state).
        export_outputs: signature name -> `PredictOutput`, `ClassificationOutput` or
            `RegressionOutput`; by default one of all predictions.
        host_call: (function, tensors), called on the host after steps.
        training_hooks: hooks that act while training.
        evaluation_hooks: hooks that act while evaluating.
        prediction_hooks: hooks that act while predicting.

    Raises:
        SpecError: fields break the contract. All of them are named; the error is also a
            ValueError, a TypeError or both, as the faults are.

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
    host_call: Any = None

    def __init__(
        self,
        mode: Any,
        predictions: Any = None,
        loss: Any = None,
        train_op: Any = None,
        eval_metrics: Any = None,
        export_outputs: Any = None,
        *,
        host_call: Any = None,
        training_hooks: Any = None,
        evaluation_hooks: Any = None,
        prediction_hooks: Any = None,
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
        """The plain spec with the same numbers, for the CPU.

        The function of `eval_metrics` is called on the host, here, and gives
        `eval_metric_ops`; while tracing, when tensors have no values, it is called once
        they have. `host_call` becomes a hook of every mode. A model function may return
        either spec, and means the same.

        Raises:
            SpecError: a metric function returned what is no metric.
        """
        metrics: Any = self.eval_metrics
        if self.eval_metrics is not None and self.eval_metrics.has_values():
            metrics = self.eval_metrics()
        called = () if self.host_call is None else (HostCallHook(self.host_call),)
        return EstimatorSpec(
            mode=self.mode,
            predictions=self.predictions,
            loss=self.loss if self.mean_loss is None else self.mean_loss,
            train_op=self.train_op,
            eval_metric_ops=metrics,
            export_outputs=self.export_outputs,
            training_hooks=(*self.training_hooks, *called),
            evaluation_hooks=(*self.evaluation_hooks, *called),
            prediction_hooks=(*self.prediction_hooks, *called),
        )
