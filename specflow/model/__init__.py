"""Models: modules split into flat arrays, and a zoo of small models."""

from specflow.model.build_model import build_model
from specflow.model.flat_state import FlatState
from specflow.model.linen import FlatForm, LinenModel, is_misplaced, variable_forms
from specflow.model.nnx_module import SplitModel
from specflow.model.size_checks import check_sizes
from specflow.model.split_state import Model, split_model

__all__ = [
    "FlatForm",
    "FlatState",
    "LinenModel",
    "Model",
    "SplitModel",
    "build_model",
    "check_sizes",
    "is_misplaced",
    "split_model",
    "variable_forms",
]
