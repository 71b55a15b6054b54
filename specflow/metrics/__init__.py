"""Metrics as states that merge exactly: NumPy on the host, no JAX."""

from specflow.metrics.averaged import F1, Precision, Recall
from specflow.metrics.classification import Accuracy, ConfusionMatrix, TopK
from specflow.metrics.declared import build_metric_fn
from specflow.metrics.mean import BitsPerByte, Mean, Perplexity
from specflow.metrics.metric import Metric, State
from specflow.metrics.ranking import AUC
from specflow.metrics.regression import MAE, MSE, R2, RMSE
from specflow.metrics.table import MetricTable

__all__ = [
    "AUC",
    "F1",
    "MAE",
    "MSE",
    "R2",
    "RMSE",
    "Accuracy",
    "BitsPerByte",
    "ConfusionMatrix",
    "Mean",
    "Metric",
    "MetricTable",
    "Perplexity",
    "Precision",
    "Recall",
    "State",
    "TopK",
    "build_metric_fn",
]
