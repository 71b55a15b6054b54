"""Metrics as states that merge exactly: NumPy on the host, no JAX."""

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
from specflow.metrics.streaming import (
    accuracy,
    auc,
    average_precision_at_k,
    false_negatives,
    false_negatives_at_thresholds,
    false_positives,
    false_positives_at_thresholds,
    mean,
    mean_absolute_error,
    mean_cosine_distance,
    mean_iou,
    mean_per_class_accuracy,
    mean_relative_error,
    mean_squared_error,
    mean_tensor,
    percentage_below,
    precision,
    precision_at_k,
    precision_at_thresholds,
    precision_at_top_k,
    recall,
    recall_at_k,
    recall_at_thresholds,
    recall_at_top_k,
    root_mean_squared_error,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
    true_negatives,
    true_negatives_at_thresholds,
    true_positives,
    true_positives_at_thresholds,
)
from specflow.metrics.sum import Sum
from specflow.metrics.thresholds import ThresholdCounts

__all__ = [  # noqa: RUF022 - states first, then tf.metrics
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
    # tf.metrics: functions that return (value, state)
    "accuracy",
    "auc",
    "average_precision_at_k",
    "false_negatives",
    "false_negatives_at_thresholds",
    "false_positives",
    "false_positives_at_thresholds",
    "mean",
    "mean_absolute_error",
    "mean_cosine_distance",
    "mean_iou",
    "mean_per_class_accuracy",
    "mean_relative_error",
    "mean_squared_error",
    "mean_tensor",
    "percentage_below",
    "precision",
    "precision_at_k",
    "precision_at_thresholds",
    "precision_at_top_k",
    "recall",
    "recall_at_k",
    "recall_at_thresholds",
    "recall_at_top_k",
    "root_mean_squared_error",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
    "true_negatives",
    "true_negatives_at_thresholds",
    "true_positives",
    "true_positives_at_thresholds",
]
