"""A model function, called by the names it takes."""

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
"""What a model function may take, by these names."""


class ModelFn:
    """Calls a model function with those of `ARGUMENTS` that it takes.

    Args:
        function: takes `features`, and any other of `ARGUMENTS`, by these names alone;
            what `functools.partial` has bound may stand beside them. Returns a
            `TPUEstimatorSpec`.

    Raises:
        SpecError: it is no function, does not take `features`, or takes something
            unknown.
    """

    def __init__(self, function: Callable[..., Any]):
        if not callable(function):
            raise spec_error(
                Diagnostic(
                    "model_fn",
                    f"got {describe(function)}",
                    kind=TypeError,
                    expected="a function of features, ...",
                    code="model-fn",
                )
            )
        self.function = function
        inner = _unbound(function)
        self.name = getattr(inner, "__name__", type(inner).__name__)
        parameters = inspect.signature(function).parameters.values()
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
        named = {p.name: p for p in parameters if p.kind is not p.VAR_KEYWORD}
        self._demands = frozenset(
            name for name, p in named.items() if p.default is p.empty
        )
        self.takes = frozenset(ARGUMENTS if takes_all else named) & frozenset(ARGUMENTS)
        # Nobody gives an unknown one a value: a default would hide a slip of the pen.
        diagnostics = [
            Diagnostic(
                self.name,
                f"takes the argument {name!r}",
                expected=f"some of {', '.join(ARGUMENTS)}",
                hint=did_you_mean(nearest(name, ARGUMENTS))
                or "Hand it over in params, or bind it with functools.partial.",
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
        """Checks that the function can do without a model.

        Raises:
            SpecError: it demands one.
        """
        if "model" in self._demands:
            raise spec_error(
                Diagnostic(
                    self.name,
                    "demands a 'model', and TPUEstimator was given none",
                    hint="Give TPUEstimator(model=...), or take the argument out and "
                    "make the layers in the function.",
                    code="model-fn",
                )
            )

    def __call__(self, mode: Mode, **available: Any) -> TPUEstimatorSpec:
        """The spec for a mode.

        Args:
            mode: what is asked for.
            **available: the other arguments; those that the function does not take are
                left out.

        Raises:
            SpecError: the function failed, or returned no spec, or one of another mode.
        """
        given = {"mode": mode, **available}
        if given.get("labels") is not None and "labels" not in self.takes:
            raise spec_error(
                Diagnostic(
                    self.name,
                    "does not take 'labels', and the input has them",
                    hint="Add the argument labels, or give an input without them.",
                    code="model-fn",
                )
            )
        arguments = {name: given[name] for name in self.takes if name in given}
        return self._checked(self.function(**arguments), mode)

    def _checked(self, spec: Any, mode: Mode) -> TPUEstimatorSpec:
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


def _unbound(function: Any) -> Any:
    """The function that `functools.partial` binds arguments of."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _bound(function: Any) -> set[str]:
    """Names that `functools.partial` has given values by keyword."""
    names: set[str] = set()
    while isinstance(function, functools.partial):
        names |= function.keywords.keys()
        function = function.func
    return names


def _with_functions(spec: EstimatorSpec) -> TPUEstimatorSpec | EstimatorSpec:
    """The spec that a plain one was made of while tracing; one with metrics stays."""
    fields = spec.arguments()
    metrics = fields.pop("eval_metric_ops")
    if metrics and not isinstance(metrics, HostPair):
        return spec  # They were called with something else than this batch.
    for kind in ("training_hooks", "evaluation_hooks", "prediction_hooks"):
        hooks = fields[kind]
        fields[kind] = [hook for hook in hooks if not isinstance(hook, HostCallHook)]
        for hook in hooks:
            if isinstance(hook, HostCallHook):
                fields["host_call"] = hook.host_call
    return TPUEstimatorSpec(**fields, eval_metrics=metrics or None)
