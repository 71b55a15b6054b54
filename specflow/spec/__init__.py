"""The contract: what a model function returns for a mode says all that is needed."""

from specflow.spec.estimator_spec import EstimatorSpec, TPUEstimatorSpec
from specflow.spec.eval_metrics import check_batch_major
from specflow.spec.export_outputs import (
    DEFAULT_SERVING,
    ClassificationOutput,
    ExportOutput,
    PredictOutput,
    RegressionOutput,
)
from specflow.spec.hooks import HOOK_METHODS, HostCallHook, is_hook, renamed
from specflow.spec.host_pair import HostPair
from specflow.spec.mean_loss import MeanLoss
from specflow.spec.mode import Mode
from specflow.spec.train_op import AverageState, TrainOp

__all__ = [
    "DEFAULT_SERVING",
    "HOOK_METHODS",
    "AverageState",
    "ClassificationOutput",
    "EstimatorSpec",
    "ExportOutput",
    "HostCallHook",
    "HostPair",
    "MeanLoss",
    "Mode",
    "PredictOutput",
    "RegressionOutput",
    "TPUEstimatorSpec",
    "TrainOp",
    "check_batch_major",
    "is_hook",
    "renamed",
]
