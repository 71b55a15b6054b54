"""`spec.eval_metrics`: the metrics that a spec can declare, by name."""

from specflow.config.generated.common_metrics import (
    AccuracyConfig,
    ConfusionMatrixConfig,
    MeanConfig,
    TopKConfig,
)
from specflow.config.generated.names import METRICS
from specflow.config.kinds import Elsewhere, by_name

__all__ = [
    "AccuracyConfig",
    "ConfusionMatrixConfig",
    "MeanConfig",
    "MetricConfig",
    "TopKConfig",
]

MetricConfig = by_name(
    MeanConfig,
    AccuracyConfig,
    TopKConfig,
    ConfusionMatrixConfig,
    Elsewhere("specflow.config.generated.other_metrics", *METRICS),
    Elsewhere(
        "specflow.config.sections.threshold_metrics",
        "average_precision_at_k",
        "precision_at_k",
        "recall_at_k",
        "threshold_counts",
    ),
    group="specflow.metrics",
)
"""A declared metric, or a `_target_`: a metric class (its `from_batch` is called) or a
function, whose keyword arguments may be key paths."""
