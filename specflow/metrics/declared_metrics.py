"""From the declared metrics of an experiment to a metric_fn."""

import dataclasses
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeAlias

from specflow.config.base import Component, Config, Target
from specflow.config.key_path import key_paths
from specflow.diagnostics.errors import DataError
from specflow.metrics import curves
from specflow.metrics.at_k import (
    AveragePrecisionAtK,
    PrecisionAtK,
    RecallAtK,
    top_classes,
)
from specflow.metrics.metric import Metric
from specflow.metrics.thresholds import ThresholdCounts

__all__ = ["build_metric_fn"]

MetricFn: TypeAlias = Callable[..., dict[str, Any]]


def _listed(state: type[Metric]) -> Callable[..., Metric]:
    """The state of the k best classes, made from scores."""

    def from_scores(scores: Any, *, k: int, **arguments: Any) -> Metric:
        return state.from_batch(top=top_classes(scores, k=k), **arguments)

    return from_scores


def _counted(*, read: str | None, **arguments: Any) -> Metric:
    what = None if read is None else getattr(curves, read)
    return ThresholdCounts.from_batch(**arguments, read=what)


_MADE: dict[str, Callable[..., Metric]] = {
    "average_precision_at_k": _listed(AveragePrecisionAtK),
    "precision_at_k": _listed(PrecisionAtK),
    "recall_at_k": _listed(RecallAtK),
    "threshold_counts": _counted,
}
"""Name -> function from the fields of a config to the state of a batch, for metrics
whose fields are not the arguments of `from_batch`."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Call:
    """How one metric is made from the tensors of a batch."""

    function: Callable[..., Any]
    paths: dict[str, str]
    """Argument -> key path of its tensor."""
    constants: dict[str, Any]

    def __call__(self, tensors: Mapping[str, Any]) -> Any:
        rows = {name: tensors[path] for name, path in self.paths.items()}
        return self.function(**self.constants, **rows)


def build_metric_fn(
    configs: Mapping[str, Config],
) -> tuple[MetricFn, tuple[str, ...]]:
    """The metric_fn of some declared metrics, and the tensors it takes.

    Args:
        configs: name -> one of `MetricConfig`. A `Target` is a metric class, whose
            `from_batch` is called, or a function that returns a state; arguments that
            are key paths become tensors. A plugin is given its tensors.

    Returns:
        metric_fn, which takes each tensor by its key path and returns name -> state;
        and the sorted key paths. What a metric says about a batch that it cannot use,
        it says under the name it was declared with.

    Raises:
        ConfigError: a `Target` was not resolved.

    >>> import numpy as np
    >>> from specflow.config.sections.metrics import AccuracyConfig
    >>> metric_fn, paths = build_metric_fn(
    ...     {"right": AccuracyConfig(predictions="predictions.class")}
    ... )
    >>> paths
    ('labels', 'predictions.class')
    >>> tensors = {"labels": np.array([1, 0]), "predictions.class": np.array([1, 1])}
    >>> metric_fn(**tensors)["right"].compute()
    0.5
    """
    calls = {name: _call(config) for name, config in configs.items()}

    def metric_fn(**tensors: Any) -> dict[str, Any]:
        return {name: _named(name, call, tensors) for name, call in calls.items()}

    paths = {path for call in calls.values() for path in call.paths.values()}
    return metric_fn, tuple(sorted(paths))


def _call(config: Config) -> _Call:
    paths = key_paths(config)
    if isinstance(config, Component):
        return _Call(config, paths, {})
    if isinstance(config, Target):
        function, arguments = config.callable, config.arguments
        if isinstance(function, type):
            function = getattr(function, "from_batch", function)
    else:
        arguments = {name: getattr(config, name) for name in type(config).model_fields}
        name = arguments.pop("name")
        function = _MADE.get(name) or _from_batch(getattr(config, "state", ""))
    constants = {name: arguments[name] for name in arguments if name not in paths}
    return _Call(function, paths, constants)


def _from_batch(path: str) -> Callable[..., Metric]:
    """The `from_batch` of a metric class by its dotted path."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name).from_batch


def _named(name: str, call: _Call, tensors: Mapping[str, Any]) -> Any:
    try:
        return call(tensors)
    except DataError as error:
        where = f"spec.eval_metrics.{name}"
        diagnostics = [
            dataclasses.replace(diagnostic, where=where)
            for diagnostic in error.diagnostics
        ]
        raise DataError(*diagnostics) from error
