"""The loops: train, evaluate and predict, and the actions between device loops."""

from specflow.loop.actions import Actions, Due, NoActions, StepMetricsFn
from specflow.loop.eval_progress import (
    EvalProgress,
    EvaluationStopped,
    OutdatedProgressError,
)
from specflow.loop.evaluate import EvalResult, evaluate, merged, pooled, predict
from specflow.loop.hooks import StopTraining, call_hooks, state_methods
from specflow.loop.loop_length import LoopLengthEstimator
from specflow.loop.profile import Profile
from specflow.loop.state_values import decoded, encoded
from specflow.loop.train import MetricsCallback, TrainResult, train
from specflow.loop.triggers import (
    EveryEpochs,
    EverySeconds,
    EverySteps,
    Trigger,
    WhicheverFirst,
    every_steps,
)

__all__ = [
    "Actions",
    "Due",
    "EvalProgress",
    "EvalResult",
    "EvaluationStopped",
    "EveryEpochs",
    "EverySeconds",
    "EverySteps",
    "LoopLengthEstimator",
    "MetricsCallback",
    "NoActions",
    "OutdatedProgressError",
    "Profile",
    "StepMetricsFn",
    "StopTraining",
    "TrainResult",
    "Trigger",
    "WhicheverFirst",
    "call_hooks",
    "decoded",
    "encoded",
    "evaluate",
    "every_steps",
    "merged",
    "pooled",
    "predict",
    "state_methods",
    "train",
]
