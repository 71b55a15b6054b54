"""From a model function to sharded steps, and from devices back to the host."""

from specflow.executor.compile import Program
from specflow.executor.host import to_host, to_rows
from specflow.executor.model_fn import ModelFn
from specflow.executor.serving import Serving
from specflow.executor.state import TrainState, from_tree, to_tree

__all__ = [
    "ModelFn",
    "Program",
    "Serving",
    "TrainState",
    "from_tree",
    "to_host",
    "to_rows",
    "to_tree",
]
