"""Checks of declared metrics before training, on arrays of the expected shapes."""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from specflow.config.base import Component, Config, Target
from specflow.config.key_path import key_paths
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.metrics.declared_metrics import build_metric_fn

__all__ = ["metric_diagnostics"]


def metric_diagnostics(
    configs: Mapping[str, Config],
    forms: Mapping[str, Any],
    values: Mapping[str, np.ndarray],
) -> list[Diagnostic]:
    """Finds errors of the first evaluation: shape mismatches, invalid labels.

    Each metric is called with arrays of the shapes that it will receive. Labels hold
    the values that occur, and predicted classes are correct, so an error here would
    occur whatever is learned. Metrics of users and plugins are not called: they may
    need real rows.

    Args:
        configs: name -> one of `MetricConfig`.
        forms: key path -> shape and dtype of the tensor, batch first.
        values: key path of labels -> the values that occur.

    Returns:
        The diagnostics of all metrics.

    >>> from specflow.config.sections.metrics import AccuracyConfig
    >>> forms = {
    ...     "labels": np.zeros(8, np.int32),
    ...     "outputs": np.zeros((8, 2, 3), np.float32),
    ... }
    >>> accuracy = AccuracyConfig(predictions="outputs")
    >>> print(metric_diagnostics({"right": accuracy}, forms, {})[0])
    spec.eval_metrics.right: predictions are float32[b,2,3], labels are int32[b].
    Expected predictions of the same shape as labels.
    """
    diagnostics: list[Diagnostic] = []
    for name, config in configs.items():
        if _is_foreign(config):
            continue
        path = getattr(config, "labels", None)
        # Rows of weight 0 may hold any value, and the weights are not known yet.
        weighted = getattr(config, "weights", None) is not None
        labels = np.zeros(0) if weighted else values.get(str(path), np.zeros(0))
        paths = key_paths(config).values()
        metric_fn, _ = build_metric_fn({name: config})
        rows = _rows(
            {key_path: forms[key_path] for key_path in paths}, str(path), labels
        )
        try:
            metric_fn(**rows)
        except DataError as error:
            count = len(next(iter(rows.values())))
            diagnostics.extend(
                _of_any_batch(diagnostic, count, name)
                for diagnostic in error.diagnostics
            )
        except Exception:
            continue  # It may not fail in an evaluation.
    return diagnostics


def _is_foreign(config: Config) -> bool:
    """Checks if a metric calls code of users or plugins, and not specflow's own."""
    if isinstance(config, Component):
        return not config.path.startswith("specflow.")
    return isinstance(config, Target)


def _rows(
    forms: Mapping[str, Any], path: str, labels: np.ndarray
) -> dict[str, np.ndarray]:
    """Builds rows of these forms that contain every label; other values are zero."""
    like = forms.get(path)
    count = 0
    if like is not None:
        count = math.ceil(labels.size / max(1, math.prod(like.shape[1:])))
    rows = {}
    for name, form in forms.items():
        shape = (count, *form.shape[1:])
        rows[name] = np.zeros(shape, form.dtype)
        is_integer = np.issubdtype(form.dtype, np.integer)
        is_like_labels = like is not None and form.shape == like.shape
        if count and (name == path or (is_integer and is_like_labels)):
            rows[name] = np.resize(labels, shape).astype(form.dtype)
    return rows


def _of_any_batch(diagnostic: Diagnostic, count: int, name: str) -> Diagnostic:
    """A diagnostic with `b` as the number of rows, which is not a real one."""
    problem = re.sub(rf"\[{count}(?=[,\]])", "[b", diagnostic.problem)
    hint = diagnostic.hint
    if diagnostic.code == "metric-values" and not hint:
        hint = f"Change the metric, or leave it out: ~spec.eval_metrics.{name}."
    return dataclasses.replace(diagnostic, problem=problem, hint=hint)
