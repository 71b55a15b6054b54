"""Calls of a model function with the arguments it declares."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from specflow.contract import (
    EstimatorSpec,
    HostCallHook,
    HostPair,
    Mode,
    TPUEstimatorSpec,
)
from specflow.diagnostics.errors import Diagnostic, did_you_mean, nearest, spec_error
from specflow.runtime.typing import describe

__all__ = ["ARGUMENTS", "ModelFn"]

ARGUMENTS = ("model", "features", "labels", "mode", "params", "config", "mask")
"""Arguments that a model function may take, by name."""


class ModelFn:
    """Calls a model function with those of `ARGUMENTS` that it takes.

    Args:
        function: takes `features` and any others of `ARGUMENTS`, by these names;
            further arguments must be bound with `functools.partial`. Returns a
            `TPUEstimatorSpec`.

    Raises:
        SpecError: it is not callable, does not take `features`, or takes an unknown
            argument.
    """

    def __init__(self, function: Callable[..., Any]):
        if not callable(function):
            raise spec_error(
                Diagnostic(
                    "model_fn",
                    f"got {describe(function)}",
                    kind=TypeError,
                    expected="a function that takes features",
                    code="model-fn",
                )
            )
        self.function = function
        inner = _unbound(function)
        self.name = getattr(inner, "__name__", type(inner).__name__)
        parameters = inspect.signature(function).parameters.values()
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
        named = {p.name: p for p in parameters if p.kind is not p.VAR_KEYWORD}
        self._required = frozenset(
            name for name, p in named.items() if p.default is p.empty
        )
        self.takes = frozenset(ARGUMENTS if takes_all else named) & frozenset(ARGUMENTS)
        # Unknown arguments never get a value: a default would hide a misspelled name.
        diagnostics = [
            Diagnostic(
                self.name,
                f"takes the argument {name!r}",
                expected=f"some of {', '.join(ARGUMENTS)}",
                hint=did_you_mean(nearest(name, ARGUMENTS))
                or "Pass it in params, or bind it with functools.partial.",
                code="model-fn",
            )
            for name in named
            if name not in ARGUMENTS and name not in _bound(function)
        ]
        if "features" not in self.takes:
            example = f"For example def {self.name}(model, features, labels, mode)."
            diagnostics.append(
                Diagnostic(
                    self.name, "does not take 'features'", hint=example, code="model-fn"
                )
            )
        if diagnostics:
            raise spec_error(*diagnostics)

    def check_without_model(self) -> None:
        """Checks that the function does not require a model.

        Raises:
            SpecError: it does.
        """
        if "model" in self._required:
            raise spec_error(
                Diagnostic(
                    self.name,
                    "requires a 'model', and Estimator has none",
                    hint="Pass Estimator(model=...), or remove the argument and "
                    "create the layers in the function.",
                    code="model-fn",
                )
            )

    def __call__(self, mode: Mode, **available: Any) -> TPUEstimatorSpec:
        """Calls the function and checks its spec.

        Args:
            mode: passed to the function.
            **available: the other arguments; those that the function does not take are
                dropped.

        Raises:
            SpecError: the result is not a spec, or is one of another mode.
        """
        given = {"mode": mode, **available}
        if given.get("labels") is not None and "labels" not in self.takes:
            raise spec_error(
                Diagnostic(
                    self.name,
                    "does not take 'labels', and the input has them",
                    hint="Add the argument labels, or use an input without labels.",
                    code="model-fn",
                )
            )
        arguments = {name: given[name] for name in self.takes if name in given}
        return self._checked(self.function(**arguments), mode)

    def _checked(self, spec: object, mode: Mode) -> TPUEstimatorSpec:
        if isinstance(spec, EstimatorSpec):
            spec = _with_functions(spec)
        if not isinstance(spec, TPUEstimatorSpec):
            raise spec_error(
                Diagnostic(
                    self.name,
                    f"returned {describe(spec)} for mode '{mode}'",
                    expected="a TPUEstimatorSpec",
                    hint="Metrics go into eval_metrics=(metric_fn, tensors)."
                    if isinstance(spec, EstimatorSpec)
                    else "",
                    code="model-fn",
                )
            )
        if spec.mode is not mode:
            raise spec_error(
                Diagnostic(
                    self.name,
                    f"returned a spec of mode '{spec.mode}' when asked for '{mode}'",
                    hint="Pass the mode on: TPUEstimatorSpec(mode=mode, ...).",
                    code="model-fn",
                )
            )
        return spec


def _unbound(function: Callable[..., Any]) -> Callable[..., Any]:
    """Unwraps `functools.partial`."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _bound(function: Callable[..., Any]) -> set[str]:
    """Returns the keyword arguments bound by `functools.partial`."""
    names: set[str] = set()
    while isinstance(function, functools.partial):
        names |= function.keywords.keys()
        function = function.func
    return names


def _with_functions(spec: EstimatorSpec) -> TPUEstimatorSpec | EstimatorSpec:
    """Converts an `EstimatorSpec` made while tracing, unless it has metrics."""
    fields = spec.arguments()
    metrics = fields.pop("eval_metric_ops")
    if metrics and not isinstance(metrics, HostPair):
        return spec  # Its metrics were not computed from this batch.
    for kind in ("training_hooks", "evaluation_hooks", "prediction_hooks"):
        hooks = fields[kind]
        fields[kind] = [hook for hook in hooks if not isinstance(hook, HostCallHook)]
        for hook in hooks:
            if isinstance(hook, HostCallHook):
                fields["host_call"] = hook.host_call
    return TPUEstimatorSpec(**fields, eval_metrics=metrics or None)
