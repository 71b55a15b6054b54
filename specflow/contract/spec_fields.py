"""Fields and rules that both specs share, and the types of their arguments."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

from pydantic import ValidationInfo, field_validator

from specflow.contract.checked import Checked, Flaw, refuse
from specflow.contract.export_outputs import ExportOutput, complete_export_outputs
from specflow.contract.hook_methods import check_hooks
from specflow.contract.host_pair import HostPair
from specflow.contract.mean_loss import MeanLoss
from specflow.contract.mode import REQUIRED, Mode
from specflow.contract.train_op import check_train_op
from specflow.diagnostics.errors import (
    Diagnostic,
    did_you_mean,
    nearest,
    spec_error,
)
from specflow.runtime.typing import ArrayLike, describe, is_array, is_floating

__all__ = ["ExportOutputs", "FunctionAndTensors", "Hook", "Loss", "SpecFields"]

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
_OTHER_SPEC = {
    ("EstimatorSpec", "eval_metrics"): "EstimatorSpec takes eval_metric_ops: name -> "
    "metric state; (metric_fn, tensors) is eval_metrics of TPUEstimatorSpec.",
    ("TPUEstimatorSpec", "eval_metric_ops"): "TPUEstimatorSpec takes eval_metrics: "
    "(metric_fn, tensors); states by name are eval_metric_ops of EstimatorSpec.",
    ("EstimatorSpec", "host_call"): "host_call is an argument of TPUEstimatorSpec.",
}
"""(class, argument of the other class) -> hint."""


class SpecFields(Checked):
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

    def __new__(cls, *args: Any, **fields: Any) -> Self:
        """Refuses arguments of the other spec and misspelled ones, with the right one.

        Raises:
            SpecError: an argument is unknown; also a TypeError.
        """
        names = inspect.signature(cls.__init__).parameters
        unknown = [name for name in fields if name not in names]
        if unknown:
            raise spec_error(
                *(
                    Diagnostic(
                        f"{cls.__name__}.{name}",
                        "no such argument",
                        hint=_OTHER_SPEC.get((cls.__name__, name))
                        or did_you_mean(nearest(name, names)),
                        kind=TypeError,
                        code="spec-argument",
                    )
                    for name in unknown
                )
            )
        return super().__new__(cls)

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
