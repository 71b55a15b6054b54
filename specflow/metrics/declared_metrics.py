"""Builds a metric_fn from the declared metrics of an experiment."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeAlias

from specflow.config.base import ARGS, Component, Config, Target
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


def _from_scores(state: type[Metric]) -> Callable[..., Metric]:
    """Returns the `from_batch` of a metric at k that takes scores."""

    def from_scores(scores: Any, *, k: int, **arguments: Any) -> Metric:
        return state.from_batch(top=top_classes(scores, k=k), **arguments)

    return from_scores


def _counted(*, read: str | None, **arguments: Any) -> Metric:
    reader = None if read is None else getattr(curves, read)
    return ThresholdCounts.from_batch(**arguments, read=reader)


_MADE: dict[str, Callable[..., Metric]] = {
    "average_precision_at_k": _from_scores(AveragePrecisionAtK),
    "precision_at_k": _from_scores(PrecisionAtK),
    "recall_at_k": _from_scores(RecallAtK),
    "threshold_counts": _counted,
}
"""Name -> function from the fields of a config to the state of a batch, for metrics
whose fields are not the arguments of `from_batch`."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Call:
    """Call that builds one metric from the tensors of a batch."""

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
    """Builds the metric_fn of declared metrics.

    Args:
        configs: name -> one of `MetricConfig`. A `Target` is a metric class, whose
            `from_batch` is called, or a function that returns a state; arguments that
            are key paths are replaced by tensors. A plugin receives its tensors.

    Returns:
        metric_fn, which takes each tensor by its key path and returns name -> state,
        and the sorted key paths. Errors of a batch have the declared name of the
        metric.

    Raises:
        ConfigError: a `Target` was not resolved.

    >>> import numpy as np
    >>> from specflow.config.sections.metrics import AccuracyConfig
    >>> metric_fn, paths = build_metric_fn(
    ...     {"accuracy": AccuracyConfig(predictions="predictions.class")}
    ... )
    >>> paths
    ('labels', 'predictions.class')
    >>> tensors = {"labels": np.array([1, 0]), "predictions.class": np.array([1, 1])}
    >>> metric_fn(**tensors)["accuracy"].compute()
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
        function, arguments = config.callable, config.built_arguments()
        if isinstance(function, type):
            function = getattr(function, "from_batch", function)
        function = functools.partial(function, *arguments.pop(ARGS, ()))
    else:
        arguments = {name: getattr(config, name) for name in type(config).model_fields}
        name = arguments.pop("name")
        function = _MADE.get(name) or _from_batch(getattr(config, "state", ""))
    constants = {name: arguments[name] for name in arguments if name not in paths}
    return _Call(function, paths, constants)


def _from_batch(path: str) -> Callable[..., Metric]:
    """Imports the `from_batch` of a metric class by its dotted path."""
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
