"""Warm start, exporters and early stopping: the start, the results and the end."""

from specflow.lifecycle.build_lifecycle import build_exporters, build_stopping_rule
from specflow.lifecycle.early_stopping import (
    EarlyStopping,
    stop_if,
    stop_if_higher,
    stop_if_lower,
    stop_if_no_decrease,
    stop_if_no_increase,
)
from specflow.lifecycle.evaluation_history import Histories, History
from specflow.lifecycle.exporters import (
    BestExporter,
    ByMetric,
    Exporter,
    FinalExporter,
    LatestExporter,
    Made,
    newest_export,
)
from specflow.lifecycle.resume_comparison import ResumeComparison, compare_runs
from specflow.lifecycle.run_trace import RunTrace, last_start
from specflow.lifecycle.stopping_rules import Crossed, Stalled, StoppingRule
from specflow.lifecycle.warm_plan import WarmPlan
from specflow.lifecycle.warm_settings import (
    Vocabulary,
    WarmStartSettings,
    build_warm_start,
)
from specflow.lifecycle.warm_start import warm_columns, warm_plan, warm_values

__all__ = [
    "BestExporter",
    "ByMetric",
    "Crossed",
    "EarlyStopping",
    "Exporter",
    "FinalExporter",
    "Histories",
    "History",
    "LatestExporter",
    "Made",
    "ResumeComparison",
    "RunTrace",
    "Stalled",
    "StoppingRule",
    "Vocabulary",
    "WarmPlan",
    "WarmStartSettings",
    "build_exporters",
    "build_stopping_rule",
    "build_warm_start",
    "compare_runs",
    "last_start",
    "newest_export",
    "stop_if",
    "stop_if_higher",
    "stop_if_lower",
    "stop_if_no_decrease",
    "stop_if_no_increase",
    "warm_columns",
    "warm_plan",
    "warm_values",
]
