"""Canned estimators: a linear model, a dense net or both, made in one line."""

from specflow.canned.combined import (
    DNNLinearCombinedClassifier,
    DNNLinearCombinedRegressor,
)
from specflow.canned.deep import DNNClassifier, DNNRegressor
from specflow.canned.features import Categorical
from specflow.canned.linear import LinearClassifier, LinearRegressor

__all__ = [
    "Categorical",
    "DNNClassifier",
    "DNNLinearCombinedClassifier",
    "DNNLinearCombinedRegressor",
    "DNNRegressor",
    "LinearClassifier",
    "LinearRegressor",
]
