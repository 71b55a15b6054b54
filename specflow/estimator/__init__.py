"""The estimator: the Python door, on which the command line stands too."""

from specflow.estimator.declared_specs import declared_specs
from specflow.estimator.estimator import Estimator, TPUEstimator
from specflow.estimator.state_source import CheckpointStep
from specflow.estimator.train_eval_specs import EvalSpec, TrainSpec

__all__ = [
    "CheckpointStep",
    "Estimator",
    "EvalSpec",
    "TPUEstimator",
    "TrainSpec",
    "declared_specs",
]
