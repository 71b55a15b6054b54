"""Sharded training, evaluation and prediction programs of a model function."""

from specflow.executor.export_program import Serving
from specflow.executor.fingerprint import fingerprint
from specflow.executor.flops import Flops, count_flops
from specflow.executor.host_rows import first_rows, real_rows, to_host
from specflow.executor.lowered import Lowered
from specflow.executor.model_call import ModelFn
from specflow.executor.optimizer_step import LEAST_SCALE
from specflow.executor.program import Program
from specflow.executor.step_settings import StepSettings
from specflow.executor.steps import StepOutputs
from specflow.executor.tracing import check_predictions
from specflow.executor.train_state import TrainState, from_tree, to_tree

__all__ = [
    "LEAST_SCALE",
    "Flops",
    "Lowered",
    "ModelFn",
    "Program",
    "Serving",
    "StepOutputs",
    "StepSettings",
    "TrainState",
    "check_predictions",
    "count_flops",
    "fingerprint",
    "first_rows",
    "from_tree",
    "real_rows",
    "to_host",
    "to_tree",
]
