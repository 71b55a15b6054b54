"""The call of the model: `inputs` of the spec against the model's own arguments."""

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
from specflow.runtime.typing import describe

__all__ = ["call_model"]


def call_model(
    model: Callable[..., Any], arguments: Mapping[str, Any], *, train: bool
) -> Any:
    """What the model returns for these arguments.

    Args:
        model: an NNX module knows whether it trains. One of Linen is told so by an
            argument `train`, `training` or `deterministic`, if it has one.
        arguments: by name.
        train: whether it trains.

    Raises:
        SpecError: the model has no such argument, or needs another, or one of
            specflow's or Flax's own fails on the shapes and types that it is given.
            What code of the user's raises keeps its type.

    >>> call_model(lambda x, scale=2: scale * x, {"x": 3}, train=True)
    6
    >>> call_model(lambda x, train: x if train else -x, {"x": 3}, train=False)
    -3
    """
    name = getattr(model, "__name__", type(model).__name__)
    try:
        parameters = inspect.signature(model).parameters
    except (TypeError, ValueError):
        parameters = None  # A builtin without a signature: its call tells.
    if parameters is not None:
        told = {"train": train, "training": train, "deterministic": not train}
        told = {key: value for key, value in told.items() if key in parameters}
        arguments = {**told, **arguments}
        _check_names(name, parameters, arguments)
    try:
        return model(**arguments)
    except SpecflowError:
        raise
    except (TypeError, ValueError) as error:
        given = ", ".join(
            f"{key}={describe(value)}" for key, value in arguments.items()
        )
        if user_code.is_users(error):  # The call succeeded; what it ran did not.
            error.add_note(f"The model was called as {name}({given}).")
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        diagnostic = Diagnostic(
            "spec.inputs",
            f"{name}({given}) failed: {error}",
            kind=kind,
            code="spec-inputs",
        )
        raise spec_error(diagnostic) from error


def _check_names(
    name: str,
    parameters: Mapping[str, inspect.Parameter],
    arguments: Mapping[str, Any],
) -> None:
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
            hint=f"Say what it is: spec.inputs.{key}=features.<name>.",
            kind=TypeError,
            code="spec-inputs",
        )
        for key, parameter in by_name.items()
        if key not in arguments and parameter.default is inspect.Parameter.empty
    )
    if diagnostics:
        raise spec_error(*diagnostics)
