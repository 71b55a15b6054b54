"""Calls the model, with `spec.inputs` checked against its arguments."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from specflow.diagnostics import user_code
from specflow.diagnostics.errors import (
    Diagnostic,
    SpecflowError,
    did_you_mean,
    nearest,
    spec_error,
)
from specflow.runtime.failed_layer import add_layer, failed_layer
from specflow.runtime.typing import describe

__all__ = ["call_model"]


def call_model(
    model: Callable[..., Any], arguments: Mapping[str, Any], *, train: bool
) -> Any:
    """Calls the model and returns its outputs.

    Args:
        model: an NNX module, which has its mode set, or a Linen module or function: it
            gets the mode as `train`, `training` or `deterministic`, if it has such an
            argument.
        arguments: arguments by name.
        train: True while training.

    Raises:
        SpecError: the model has no such argument, needs another, or is a model of
            specflow or Flax that fails on these shapes and dtypes. Exceptions of the
            user's code keep their type.

    >>> call_model(lambda x, scale=2: scale * x, {"x": 3}, train=True)
    6
    >>> call_model(lambda x, train: x if train else -x, {"x": 3}, train=False)
    -3
    """
    name = getattr(model, "__name__", type(model).__name__)
    try:
        parameters = inspect.signature(model).parameters
    except (TypeError, ValueError):
        parameters = None  # A builtin without a signature fails when called.
    if parameters is not None:
        modes = {"train": train, "training": train, "deterministic": not train}
        modes = {key: value for key, value in modes.items() if key in parameters}
        arguments = {**modes, **arguments}
        _check_names(name, parameters, arguments)
    try:
        return model(**arguments)
    except SpecflowError:
        raise
    except (TypeError, ValueError) as error:
        listed = ", ".join(
            f"{key}={describe(value)}" for key, value in arguments.items()
        )
        layer = failed_layer(error)
        if user_code.is_users(error):  # Raised inside the model, not by its call.
            add_layer(error)
            error.add_note(f"The model was called as {name}({listed}).")
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        diagnostic = Diagnostic(
            "spec.inputs",
            f"{name}({listed}) failed at the layer {layer}"
            if layer
            else f"{name}({listed}) failed: {error}",
            kind=kind,
            code="spec-inputs",
        )
        raise spec_error(diagnostic) from error


def _check_names(
    name: str,
    parameters: Mapping[str, inspect.Parameter],
    arguments: Mapping[str, Any],
) -> None:
    """Raises for arguments that the model does not have, and for missing ones."""
    forms = {parameter.kind for parameter in parameters.values()}
    by_name = {
        key: parameter
        for key, parameter in parameters.items()
        if parameter.kind
        in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    }
    diagnostics = [
        Diagnostic(
            f"spec.inputs.{key}",
            f"{name} takes no argument {key}",
            expected=f"one of {', '.join(by_name) or 'none'}",
            hint=did_you_mean(nearest(key, by_name)),
            kind=TypeError,
            code="spec-inputs",
        )
        for key in arguments
        if key not in by_name and inspect.Parameter.VAR_KEYWORD not in forms
    ]
    diagnostics.extend(
        Diagnostic(
            "spec.inputs",
            f"{name} needs an argument {key}",
            hint=f"Set spec.inputs.{key}=features.<name>.",
            kind=TypeError,
            code="spec-inputs",
        )
        for key, parameter in by_name.items()
        if key not in arguments and parameter.default is inspect.Parameter.empty
    )
    if diagnostics:
        raise spec_error(*diagnostics)
