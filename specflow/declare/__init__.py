"""The declared spec: from the configuration to a model function."""

from specflow.declare.label_ranges import LabelRange, label_ranges
from specflow.declare.model_fn import (
    build_model_fn,
    eval_tensors,
    model_inputs,
    model_outputs,
)

__all__ = [
    "LabelRange",
    "build_model_fn",
    "eval_tensors",
    "label_ranges",
    "model_inputs",
    "model_outputs",
]
