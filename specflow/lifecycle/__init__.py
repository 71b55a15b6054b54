"""What goes with training over its whole life: where it starts, what it leaves, when
it ends.
"""

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
    Exporter,
    FinalExporter,
    LatestExporter,
)
from specflow.lifecycle.history import History
from specflow.lifecycle.warm_start import Vocabulary, WarmStartSettings, warm_values

__all__ = [
    "BestExporter",
    "EarlyStopping",
    "Exporter",
    "FinalExporter",
    "History",
    "LatestExporter",
    "Vocabulary",
    "WarmStartSettings",
    "stop_if",
    "stop_if_higher",
    "stop_if_lower",
    "stop_if_no_decrease",
    "stop_if_no_increase",
    "warm_values",
]
