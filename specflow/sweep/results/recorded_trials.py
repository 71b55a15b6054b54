"""Trials of `trials.jsonl`, with what their run directories show."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specflow.sweep.pool.trial import TrialStatus
from specflow.sweep.results.run_files import last_state, read_json, run_directories
from specflow.sweep.results.trial_result import TrialResult, scalars
from specflow.sweep.trial_records import TrialRecord

__all__ = ["recorded_trial", "unfinished_trial"]


def recorded_trial(folder: Path, record: TrialRecord) -> TrialResult:
    """Returns a trial of `trials.jsonl`."""
    directory = Path(os.path.normpath(folder / record.directory))
    trial = TrialResult(
        number=record.number,
        overrides=record.overrides,
        directory=directory,
        status=str(record.status),
        step=record.step,
        seconds=record.seconds,
        started=record.started,
        reason=record.error,
        failure=record.failure,
    )
    if record.status is TrialStatus.RUNNING:
        return unfinished_trial(trial)
    result = read_json(directory / "result.json")
    if record.status is TrialStatus.FAILED:
        return dataclasses.replace(trial, step=record.step or last_state(directory)[1])
    values = dict(record.values)
    return _with_result(dataclasses.replace(trial, metrics=values), result)


def unfinished_trial(trial: TrialResult) -> TrialResult:
    """Returns a trial that has no end yet, as its run directory shows it."""
    result = read_json(trial.directory / "result.json")
    if result:
        # It ended, and its sweep was killed before that was recorded.
        status = "pruned" if result.get("pruned") else "complete"
        return _with_result(dataclasses.replace(trial, status=status), result)
    runs = [*run_directories(trial.directory, 1)]
    states = [last_state(run) for run in (runs or [trial.directory])]
    is_running, step, metrics = max(states, key=lambda state: (state[0], state[1] or 0))
    stopped = not is_running and trial.directory.exists()
    return dataclasses.replace(
        trial,
        status="stopped" if stopped else "running",
        step=step,
        metrics=metrics,
        reason="its process has ended; the same command resumes" if stopped else "",
    )


def _with_result(trial: TrialResult, result: Mapping[str, Any]) -> TrialResult:
    """Adds what `result.json` has."""
    timing, runs = result.get("timing"), result.get("runs")
    total = timing.get("total") if isinstance(timing, dict) else None
    step = result.get("step") if trial.step is None else trial.step
    return dataclasses.replace(
        trial,
        metrics=scalars(result.get("eval")) or trial.metrics,
        spread=scalars(result.get("spread")),
        step=step,
        seconds=trial.seconds if trial.seconds is not None else total,
        reason=f"at step {step}" if trial.status == "pruned" else trial.reason,
        runs=tuple(
            trial.directory / str(run)
            for run in (runs if isinstance(runs, list) else ())
        ),
    )
