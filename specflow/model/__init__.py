"""Models: a module at the rim as flat arrays, and a few small ones to start with."""

from specflow.model.build import build_model
from specflow.model.module import FlatState, SplitModel

__all__ = ["FlatState", "SplitModel", "build_model"]
