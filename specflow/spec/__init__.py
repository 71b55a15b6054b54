"""The `spec` section: builds a model function from its declared fields."""

from specflow.spec.declared_model_fn import (
    build_model_fn,
    eval_tensors,
    model_inputs,
    model_outputs,
)
from specflow.spec.label_ranges import LabelRange, label_ranges
from specflow.spec.mixing import with_mix_stream

__all__ = [
    "LabelRange",
    "build_model_fn",
    "eval_tensors",
    "label_ranges",
    "model_inputs",
    "model_outputs",
    "with_mix_stream",
]
