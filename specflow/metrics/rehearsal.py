"""Declared metrics, tried before anything is trained."""

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
    """What metrics would say of the first evaluation: wrong shapes, impossible labels.

    Each is given arrays of the shapes that it will get. Labels hold the values that
    occur, and classes are predicted rightly, so that what is refused then is refused
    whatever is learned. Code of others is not tried: it may be written for real rows.

    Args:
        configs: name -> one of `MetricConfig`.
        forms: key path -> shape and dtype of the tensor, first axis the batch.
        values: key path of labels -> the values that occur.

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
        # Rows of weight 0 may hold anything: which they are, nobody knows yet.
        weighted = getattr(config, "weights", None) is not None
        labels = np.zeros(0) if weighted else values.get(str(path), np.zeros(0))
        paths = key_paths(config).values()
        metric_fn, _ = build_metric_fn({name: config})
        rows = _rows({each: forms[each] for each in paths}, str(path), labels)
        try:
            metric_fn(**rows)
        except DataError as error:
            count = len(next(iter(rows.values())))
            diagnostics.extend(
                _of_any_batch(diagnostic, count) for diagnostic in error.diagnostics
            )
        except Exception:
            continue  # It is not known to fail in an evaluation.
    return diagnostics


def _is_foreign(config: Config) -> bool:
    """Whether a metric is code of others, as opposed to a section of specflow's own."""
    if isinstance(config, Component):
        return not config.path.startswith("specflow.")
    return isinstance(config, Target)


def _rows(
    forms: Mapping[str, Any], path: str, labels: np.ndarray
) -> dict[str, np.ndarray]:
    """Rows of these forms in which every one of the labels occurs; the rest is zero."""
    like = forms.get(path)
    count = 0
    if like is not None:
        count = math.ceil(labels.size / max(1, math.prod(like.shape[1:])))
    rows = {}
    for name, form in forms.items():
        shape = (count, *form.shape[1:])
        rows[name] = np.zeros(shape, form.dtype)
        classes = np.issubdtype(form.dtype, np.integer)
        same = like is not None and form.shape == like.shape
        if count and (name == path or (classes and same)):
            rows[name] = np.resize(labels, shape).astype(form.dtype)
    return rows


def _of_any_batch(diagnostic: Diagnostic, count: int) -> Diagnostic:
    """The fault with `b` for the rows of a batch, which are not those of a real one."""
    problem = re.sub(rf"\[{count}(?=[,\]])", "[b", diagnostic.problem)
    return dataclasses.replace(diagnostic, problem=problem)
