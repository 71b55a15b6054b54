"""Metrics as states that merge exactly: NumPy on the host, without JAX."""

from specflow.metrics.at_k import (
    AveragePrecisionAtK,
    PrecisionAtK,
    RecallAtK,
    top_classes,
)
from specflow.metrics.averaged import F1, IoU, Precision, Recall
from specflow.metrics.classification import Accuracy, ConfusionMatrix, TopK
from specflow.metrics.cosine import CosineDistance
from specflow.metrics.declared_metrics import build_metric_fn
from specflow.metrics.elementwise import MeanTensor
from specflow.metrics.means import BitsPerByte, Mean, Perplexity
from specflow.metrics.metric import Metric, State
from specflow.metrics.metric_table import MetricTable
from specflow.metrics.per_class import PerClassAccuracy
from specflow.metrics.ranking import AUC
from specflow.metrics.regression import MAE, MSE, R2, RMSE
from specflow.metrics.rehearsal import metric_diagnostics
from specflow.metrics.relative import RelativeError
from specflow.metrics.sum import Sum
from specflow.metrics.thresholds import ThresholdCounts

__all__ = [
    "AUC",
    "F1",
    "MAE",
    "MSE",
    "R2",
    "RMSE",
    "Accuracy",
    "AveragePrecisionAtK",
    "BitsPerByte",
    "ConfusionMatrix",
    "CosineDistance",
    "IoU",
    "Mean",
    "MeanTensor",
    "Metric",
    "MetricTable",
    "PerClassAccuracy",
    "Perplexity",
    "Precision",
    "PrecisionAtK",
    "Recall",
    "RecallAtK",
    "RelativeError",
    "State",
    "Sum",
    "ThresholdCounts",
    "TopK",
    "build_metric_fn",
    "metric_diagnostics",
    "top_classes",
]
