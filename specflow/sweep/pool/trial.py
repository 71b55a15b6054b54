"""Trials of a sweep: what is run, what is reported meanwhile, and how it ended."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

__all__ = ["Trial", "TrialOutcome", "TrialReport", "TrialStatus"]


class TrialStatus(enum.StrEnum):
    """Where a trial stands."""

    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    """Stopped at an evaluation, because its metrics promise too little."""
    FAILED = "failed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of a sweep.

    Args:
        number: from 0.
        overrides: all that compose its experiment, `output.dir` included.
        directory: its run directory; the same as `output.dir`.
    """

    number: int
    overrides: tuple[str, ...]
    directory: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialReport:
    """Metrics of an evaluation of a running trial.

    Args:
        number: of the trial.
        step: training step of the evaluation.
        metrics: name -> value; scalars only.
    """

    number: int
    step: int
    metrics: Mapping[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """How a trial ended.

    Args:
        number: of the trial.
        status: `COMPLETE`, `PRUNED` or `FAILED`.
        result: the contents of `result.json`, and `directory`; None if it failed.
        error: message if it failed.
        failure: kind of the failure, one of `Failure`; empty if it did not fail.
        attempts: how often it was started: more than once after a lost process.
        seconds: from its last start to the last of its files.
        metric: evaluation metric that judges it: that of `output.checkpoint.best`.
        order: `lowest` or `highest`: the value of the metric that is best.
    """

    number: int
    status: TrialStatus
    result: Mapping[str, Any] | None = None
    error: str = ""
    failure: str = ""
    attempts: int = 1
    seconds: float = 0.0
    metric: str = "loss"
    order: str = "lowest"
