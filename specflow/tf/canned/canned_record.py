"""Records canned estimators by class and arguments, and makes them again."""

import enum
import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, get_args

from specflow.config.estimator_record import CannedRecord, PartRecord
from specflow.estimator import Estimator
from specflow.estimator.importable import not_plain, part_of
from specflow.tf.canned.feature_columns import Categorical

__all__ = ["canned_estimator", "canned_record"]

_PACKAGE = "specflow.tf.canned"
_NAMES = get_args(CannedRecord.model_fields["name"].annotation)
_ACTIVATIONS = ("activation_fn", "dnn_activation_fn")


def canned_record(
    kind: type, *args: Any, **kwargs: Any
) -> tuple[CannedRecord, dict[str, str]] | None:
    """Records the call of a canned estimator.

    Optimizers are left out: no command that reads the record trains.

    Args:
        kind: class of the estimator.
        *args: its positional arguments.
        **kwargs: its keyword arguments.

    Returns:
        The record, and argument -> why it cannot be recorded. None for a class of the
        user's, whose arguments may mean anything.

    >>> from specflow.tf.canned import DNNClassifier
    >>> canned_record(DNNClassifier, (8, 4), n_classes=3)[0].arguments
    {'hidden_units': [8, 4], 'n_classes': 3}
    """
    if not kind.__module__.startswith(f"{_PACKAGE}.") or kind.__name__ not in _NAMES:
        return None
    signature = inspect.signature(kind)
    given = signature.bind(*args, **kwargs).arguments
    activation: PartRecord | None = None
    arguments, problems = {}, {}
    for name, value in given.items():
        is_of_estimator = (
            signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        )
        if is_of_estimator or name.endswith("optimizer"):
            continue
        if name in _ACTIVATIONS:
            activation = part_of(value)
            continue
        arguments[name] = _plain(value)
        if problem := not_plain(arguments[name], name):
            problems[name] = f"{problem}. Give plain values"
            del arguments[name]
    record = CannedRecord(
        name=kind.__name__,  # type: ignore[arg-type]
        arguments=arguments,
        activation=activation,
    )
    return record, problems


def canned_estimator(
    record: CannedRecord, activation: Callable[..., Any] | None, **estimator: Any
) -> Estimator:
    """Makes a canned estimator again, with the default optimizer.

    Args:
        record: class and arguments.
        activation: the recorded activation function; None: the default one.
        **estimator: arguments of `Estimator`.

    Raises:
        SpecError: an argument is invalid.
    """
    kind = getattr(import_module(_PACKAGE), record.name)
    arguments = dict(record.arguments)
    if columns := arguments.get("categorical"):
        arguments["categorical"] = {
            name: Categorical(**fields) for name, fields in columns.items()
        }
    if activation is not None:
        parameters = inspect.signature(kind).parameters
        key = next(name for name in _ACTIVATIONS if name in parameters)
        arguments[key] = activation
    return kind(**arguments, **estimator)


def _plain(value: Any) -> Any:
    """Converts an argument to JSON values, as far as it has any."""
    if isinstance(value, Categorical):
        return {"categories": value.categories, "width": value.width}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if hasattr(value, "tolist"):  # A NumPy array or scalar.
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
