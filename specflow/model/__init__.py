"""Models: a module at the rim as flat arrays, and a few small ones to start with."""

from specflow.model.build import build_model
from specflow.model.flat import FlatState
from specflow.model.linen import FlatForm, LinenModel, is_misplaced, variable_forms
from specflow.model.module import SplitModel
from specflow.model.split import Model, split_model

__all__ = [
    "FlatForm",
    "FlatState",
    "LinenModel",
    "Model",
    "SplitModel",
    "build_model",
    "is_misplaced",
    "split_model",
    "variable_forms",
]
