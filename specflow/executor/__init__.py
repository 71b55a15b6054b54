"""From a model function to sharded steps, and from devices back to the host."""

from specflow.executor.compile import Program
from specflow.executor.fingerprint import fingerprint
from specflow.executor.flops import Flops, count_flops
from specflow.executor.host import first_rows, real_rows, to_host
from specflow.executor.lowered import Lowered
from specflow.executor.model_fn import ModelFn
from specflow.executor.optimizer import LEAST_SCALE
from specflow.executor.serving import Serving
from specflow.executor.settings import StepSettings
from specflow.executor.state import TrainState, from_tree, to_tree
from specflow.executor.step import StepOutputs
from specflow.executor.tracing import check_predictions

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
