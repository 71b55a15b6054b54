"""`train_op`: the optimizer of a spec, and the parameters it trains."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from pydantic import field_validator

from specflow.contract.checked import Checked, Flaw, refuse

__all__ = [
    "AverageState",
    "GradientTransformation",
    "TrainOp",
    "TrainOpLike",
    "check_train_op",
]


@runtime_checkable
class GradientTransformation(Protocol):
    """An optax gradient transformation: a pair of pure functions."""

    @property
    def init(self) -> Callable[..., Any]: ...

    @property
    def update(self) -> Callable[..., Any]: ...


def is_transformation(value: object) -> bool:
    """Returns whether a value has the two functions of an optax transformation."""
    return callable(getattr(value, "init", None)) and callable(
        getattr(value, "update", None)
    )


class AverageState(NamedTuple):
    """Optimizer state of a transformation that averages the parameters.

    The train step finds it in the optimizer's state, initializes `statistics`, and
    passes the model state to `update` as `model_state`.
    """

    steps: Any
    """Number of updates so far, int32[]."""
    average: Any
    """Averaged parameters, in the structure of the parameters."""
    statistics: Any
    """Averaged batch statistics of the layers of these parameters, by path."""


class TrainOp(Checked):
    """An optimizer with the parameters it trains.

    The batch statistics of a layer without trained parameters are frozen too, and
    Flax's BatchNorm normalizes by them, as in evaluation. Source: `trainable = False`
    of Keras.

    Args:
        optimizer: an optax GradientTransformation.
        wrt: globs of the parameter paths to train (`*` is one name, `**` any number);
            all others are frozen.
        frozen: globs of the paths among them to freeze.

    >>> import optax
    >>> TrainOp(optax.sgd(0.1), wrt=["head.**"]).wrt
    ('head.**',)
    """

    optimizer: Any
    """The optax GradientTransformation."""
    wrt: tuple[str, ...] = ("**",)
    """Globs of the parameter paths to train."""
    frozen: tuple[str, ...] = ()
    """Globs of the paths among them to freeze."""

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


TrainOpLike: TypeAlias = GradientTransformation | TrainOp | Callable[..., Any]
"""An optax transformation, a `TrainOp`, or `(state, batch) -> (state, metrics)`."""


def check_train_op(value: Any) -> Any:
    """Returns a valid `train_op` unchanged, or raises its flaw."""
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
