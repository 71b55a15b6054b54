"""The loops: train, evaluate and predict, and the actions between device loops."""

from specflow.loop.actions import Actions, Due, Measured, NoActions
from specflow.loop.evaluate import EvalResult, evaluate, predict
from specflow.loop.hooks import StopTraining, call_hooks
from specflow.loop.pace import Pace
from specflow.loop.profile import Profile
from specflow.loop.train import Report, TrainResult, train
from specflow.loop.triggers import EverySeconds, EverySteps, Trigger

__all__ = [
    "Actions",
    "Due",
    "EvalResult",
    "EverySeconds",
    "EverySteps",
    "Measured",
    "NoActions",
    "Pace",
    "Profile",
    "Report",
    "StopTraining",
    "TrainResult",
    "Trigger",
    "call_hooks",
    "evaluate",
    "predict",
    "train",
]
