"""The estimator, and the specs of `train_and_evaluate`."""

from specflow.estimator.declared_specs import declared_specs
from specflow.estimator.estimator import Estimator, TPUEstimator
from specflow.estimator.state_source import CheckpointStep
from specflow.estimator.train_eval_specs import EvalSpec, TrainSpec
from specflow.estimator.train_recorder import TrainRecorder

__all__ = [
    "CheckpointStep",
    "Estimator",
    "EvalSpec",
    "TPUEstimator",
    "TrainRecorder",
    "TrainSpec",
    "declared_specs",
]
