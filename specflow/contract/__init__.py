"""The contract between model functions and estimators: specs, modes and checks."""

from specflow.contract.estimator_spec import EstimatorSpec, TPUEstimatorSpec
from specflow.contract.eval_metrics import check_batch_major
from specflow.contract.export_outputs import (
    DEFAULT_SERVING,
    ClassificationOutput,
    ExportOutput,
    PredictOutput,
    RegressionOutput,
)
from specflow.contract.hook_methods import HOOK_METHODS, HostCallHook, is_hook, renamed
from specflow.contract.host_pair import HostPair
from specflow.contract.mean_loss import MeanLoss
from specflow.contract.mode import Mode
from specflow.contract.train_op import AverageState, TrainOp

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
