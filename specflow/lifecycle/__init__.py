"""What goes with training over its whole life: where it starts, what it leaves, when
it ends.
"""

from specflow.lifecycle.build import build_exporters, build_stopping_rule
from specflow.lifecycle.early_stopping import (
    EarlyStopping,
    stop_if,
    stop_if_higher,
    stop_if_lower,
    stop_if_no_decrease,
    stop_if_no_increase,
)
from specflow.lifecycle.exporters import (
    BestExporter,
    ByMetric,
    Exporter,
    FinalExporter,
    LatestExporter,
    Made,
    newest_export,
)
from specflow.lifecycle.history import History
from specflow.lifecycle.rules import Crossed, Stalled, StoppingRule
from specflow.lifecycle.warm_start import Vocabulary, WarmStartSettings, warm_values

__all__ = [
    "BestExporter",
    "ByMetric",
    "Crossed",
    "EarlyStopping",
    "Exporter",
    "FinalExporter",
    "History",
    "LatestExporter",
    "Made",
    "Stalled",
    "StoppingRule",
    "Vocabulary",
    "WarmStartSettings",
    "build_exporters",
    "build_stopping_rule",
    "newest_export",
    "stop_if",
    "stop_if_higher",
    "stop_if_lower",
    "stop_if_no_decrease",
    "stop_if_no_increase",
    "warm_values",
]
