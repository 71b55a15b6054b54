"""The loops: train, evaluate, predict, and what happens between device loops."""

from specflow.loop.evaluate import EvalResult, evaluate, predict
from specflow.loop.hooks import (
    Action,
    EverySeconds,
    EverySteps,
    StopTraining,
    Trigger,
    call_hooks,
)
from specflow.loop.pace import Pace
from specflow.loop.profile import Profile
from specflow.loop.train import Measured, Report, Rescue, TrainResult, Watch, train

__all__ = [
    "Action",
    "EvalResult",
    "EverySeconds",
    "EverySteps",
    "Measured",
    "Pace",
    "Profile",
    "Report",
    "Rescue",
    "StopTraining",
    "TrainResult",
    "Trigger",
    "Watch",
    "call_hooks",
    "evaluate",
    "predict",
    "train",
]
