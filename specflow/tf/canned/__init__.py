"""Canned estimators: a linear model, a dense network, or both."""

from specflow.tf.canned.combined import (
    DNNLinearCombinedClassifier,
    DNNLinearCombinedRegressor,
)
from specflow.tf.canned.deep import DNNClassifier, DNNRegressor
from specflow.tf.canned.feature_columns import Categorical
from specflow.tf.canned.linear import LinearClassifier, LinearRegressor

__all__ = [
    "Categorical",
    "DNNClassifier",
    "DNNLinearCombinedClassifier",
    "DNNLinearCombinedRegressor",
    "DNNRegressor",
    "LinearClassifier",
    "LinearRegressor",
]
