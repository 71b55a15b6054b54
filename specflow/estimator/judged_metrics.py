"""Metrics by which rules, exporters and the best checkpoint go."""

from collections.abc import Mapping
from typing import Any

from specflow.config.run_config import RunConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest
from specflow.estimator.train_eval_specs import EvalSpec

__all__ = ["check_judged_metrics"]


def check_judged_metrics(
    metrics: Mapping[str, Any], spec: EvalSpec, config: RunConfig
) -> None:
    """Checks that each rule and exporter finds its metric in an evaluation.

    Args:
        metrics: of the evaluation, with `global_step`.
        spec: its early stopping rule and exporters.
        config: its criterion of the best checkpoint.

    Raises:
        ConfigError: A metric is not measured, or is not a single number.
    """
    judges: dict[str, Any] = {
        "early stopping": spec.early_stopping,
        "the best checkpoint": config.keep_best,
    }
    for exporter in spec.all_exporters():
        judges[f"exporter '{exporter.name}'"] = getattr(exporter, "compare", None)
    numbers = [name for name in metrics if name != "global_step"]
    numbers = [name for name in numbers if getattr(metrics[name], "ndim", 0) == 0]
    diagnostics = [
        Diagnostic(
            where,
            f"goes by '{metric}', which "
            + ("is no single number" if metric in metrics else "is not measured"),
            expected=f"one of {', '.join(sorted(numbers))}",
            hint=did_you_mean(nearest(metric, numbers)),
            code="metric-missing",
        )
        for where, judge in judges.items()
        if (metric := getattr(judge, "metric", None)) is not None
        and metric not in numbers
    ]
    if diagnostics:
        raise ConfigError(*diagnostics)
