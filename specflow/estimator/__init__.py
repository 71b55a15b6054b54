"""The estimator: the Python door, on which the command line stands too."""

from specflow.estimator.declared import declared_specs
from specflow.estimator.estimator import TPUEstimator
from specflow.estimator.specs import EvalSpec, TrainSpec
from specflow.estimator.states import CheckpointStep

__all__ = [
    "CheckpointStep",
    "EvalSpec",
    "TPUEstimator",
    "TrainSpec",
    "declared_specs",
]
