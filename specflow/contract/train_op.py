"""`train_op`: how a step of training changes the parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from pydantic import field_validator

from specflow.contract.checked import Checked, Flaw, refuse

__all__ = ["AverageState", "GradientTransformation", "TrainOp", "check_train_op"]


@runtime_checkable
class GradientTransformation(Protocol):
    """What optax calls a gradient transformation: a pair of pure functions."""

    @property
    def init(self) -> Callable[..., Any]: ...

    @property
    def update(self) -> Callable[..., Any]: ...


def is_transformation(value: object) -> bool:
    """Whether a value is an optax gradient transformation, by its two functions."""
    return callable(getattr(value, "init", None)) and callable(
        getattr(value, "update", None)
    )


class AverageState(NamedTuple):
    """State of a transformation that averages the parameters.

    A step recognizes it among the optimizer's state: it fills in `statistics` at the
    start, and passes the model state to `update` as `model_state`.
    """

    steps: Any
    """int32[]: updates so far."""
    average: Any
    """The averages, in the form of the parameters."""
    statistics: Any
    """Averages of the batch statistics that belong to these parameters, by path."""


class TrainOp(Checked):
    """An optimizer, and which parameters it trains.

    Args:
        optimizer: an optax GradientTransformation.
        wrt: globs of parameter paths that train (`*` is one name, `**` any number);
            the others stay as they are.
        frozen: globs of those among them that stay as they are nevertheless.

    The batch statistics of a layer of which no parameter trains stay as they are too,
    and Flax's BatchNorm then normalizes by them, as in evaluation.

    Source: the last is what Keras does with `trainable = False`.

    >>> import optax
    >>> TrainOp(optax.sgd(0.1), wrt=["head.**"]).wrt
    ('head.**',)
    """

    optimizer: Any
    wrt: tuple[str, ...] = ("**",)
    frozen: tuple[str, ...] = ()

    def __init__(self, optimizer: Any, wrt: Any = ("**",), frozen: Any = ()):
        self._fill(optimizer=optimizer, wrt=wrt, frozen=frozen)

    @field_validator("optimizer")
    @classmethod
    def _is_transformation(cls, value: Any) -> Any:
        if not is_transformation(value):
            refuse(_not_an_optimizer(value))
        return value

    @field_validator("wrt", mode="before")
    @classmethod
    def _globs(cls, value: Any) -> Any:
        patterns = (value,) if isinstance(value, str) else tuple(value)
        if not patterns:
            refuse(Flaw("is empty", expected="at least one glob of parameter paths"))
        return patterns

    @field_validator("frozen", mode="before")
    @classmethod
    def _frozen_globs(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else tuple(value)


def check_train_op(value: Any) -> Any:
    """The value, if it can be a train_op; refused otherwise."""
    if isinstance(value, TrainOp) or is_transformation(value):
        return value
    if callable(value) and not isinstance(value, type):
        return value
    refuse(_not_an_optimizer(value))


def _not_an_optimizer(value: Any) -> Flaw:
    return Flaw(
        f"got {value!r:.60}",
        kind=TypeError,
        expected="an optax GradientTransformation, a TrainOp, or a function "
        "(state, batch) -> (state, metrics)",
        hint="For example train_op=optax.adamw(1e-3).",
    )
