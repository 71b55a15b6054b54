"""Reads the trials of a sweep from its directory, whichever launcher ran them."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from specflow.config.sections.sweep import ConstraintConfig, ObjectiveConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.output.run.run_directory import existing_run
from specflow.runtime.filesystem import expanded
from specflow.sweep.results.recorded_trials import recorded_trial
from specflow.sweep.results.run_files import (
    is_run,
    read_json,
    run_directories,
)
from specflow.sweep.results.stored_trials import stored_trials
from specflow.sweep.results.trial_result import (
    ResultStatus,
    TrialResult,
    varied_keys,
)
from specflow.sweep.results.trials_of_runs import trials_of_runs
from specflow.sweep.search.constraints import violations
from specflow.sweep.trial_records import TRIALS, TrialRecord, read_records

__all__ = ["SweepResults", "read_sweep"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepResults:
    """The trials of a sweep, and what they are judged by.

    Args:
        directory: of the sweep.
        name: of the experiment; empty if unknown.
        trials: in the order of their numbers.
        keys: what differs between the trials.
        objectives: what the sweep optimizes; one at least.
        constraints: what a feasible trial meets.
        search: description of a search (`sweep.json`); empty for other sweeps.
        notes: what could not be read.
    """

    directory: Path
    name: str
    trials: tuple[TrialResult, ...]
    keys: tuple[str, ...]
    objectives: tuple[ObjectiveConfig, ...]
    constraints: tuple[ConstraintConfig, ...] = ()
    search: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def metrics(self) -> list[str]:
        """Names of all scalar metrics, those that judge first."""
        judging = [one.metric for one in self.objectives]
        judging += [one.metric for one in self.constraints]
        names = [name for trial in self.trials for name in trial.metrics]
        return [name for name in dict.fromkeys([*judging, *names]) if name in names]

    def with_status(self, status: ResultStatus) -> list[TrialResult]:
        """Returns the trials of a status."""
        return [trial for trial in self.trials if trial.status == status]

    def may_be_log(self, key: str) -> bool:
        """Returns whether a parameter may have a logarithmic scale.

        The space of a search says so; of another sweep the values decide.
        """
        space = self.search.get("space")
        text = str(space.get(key, "")) if isinstance(space, dict) else ""
        return "interval" not in text or "log" in text

    def shown(self, path: Path) -> str:
        """Returns the path of a trial, relative to the sweep if it is inside."""
        inside = path.is_relative_to(self.directory)
        return str(path.relative_to(self.directory) if inside else path)


def read_sweep(directory: str | Path) -> SweepResults:
    """Reads a sweep of any launcher, or a search; changes nothing.

    Args:
        directory: `output.dir` of the sweep; it may still be running.

    Raises:
        ConfigError: there is no sweep.
    """
    folder = expanded(directory, "sweep")
    search = read_json(folder / "sweep.json")
    records = read_records(folder)
    notes: list[str] = []
    if records or search:
        trials = {n: recorded_trial(folder, record) for n, record in records.items()}
        for trial in stored_trials(folder, search, notes.append):
            known = trials.get(trial.number)
            if known is None or known.status in ("running", "stopped"):
                trials[trial.number] = (
                    trial if known is None else _of_both(known, trial)
                )
    elif inside := _sweeps_inside(folder):
        raise ConfigError(_no_sweep(directory, folder, inside))
    else:
        trials = {trial.number: trial for trial in trials_of_runs(folder)}
    if not trials and not search:
        raise ConfigError(_no_sweep(directory, folder))
    constraints = tuple(_valid(ConstraintConfig, search.get("constraints")))
    every = tuple(_judged(trials[number], constraints) for number in sorted(trials))
    config = _config_of(every)
    space = search.get("space")
    keys = [*space] if isinstance(space, dict) else varied_keys(every)
    return SweepResults(
        directory=folder,
        name=str(config.get("name", "")),
        trials=every,
        keys=tuple(keys),
        objectives=_objectives(search, records, config),
        constraints=constraints,
        search=search,
        notes=tuple(notes),
    )


def _of_both(known: TrialResult, stored: TrialResult) -> TrialResult:
    """Returns a trial that is unfinished here, as the storage has it."""
    if stored.status == "running":
        return known
    return dataclasses.replace(
        stored, overrides=known.overrides, started=known.started or stored.started
    )


def _judged(
    trial: TrialResult, constraints: tuple[ConstraintConfig, ...]
) -> TrialResult:
    exceeded = violations(constraints, trial.metrics)
    if trial.status != "complete" or not exceeded:
        return trial
    return dataclasses.replace(trial, status="infeasible", reason=", ".join(exceeded))


def _config_of(trials: tuple[TrialResult, ...]) -> dict[str, Any]:
    """Returns the config of the first trial that has one."""
    for trial in trials:
        for run in (trial.directory, *trial.runs, *run_directories(trial.directory, 1)):
            if is_run(run):
                try:
                    return existing_run(run).load_config()
                except ConfigError:
                    continue
    return {}


def _objectives(
    search: Mapping[str, Any],
    records: Mapping[int, TrialRecord],
    config: Mapping[str, Any],
) -> tuple[ObjectiveConfig, ...]:
    if objectives := _valid(ObjectiveConfig, search.get("objectives")):
        return tuple(objectives)
    directions = {"lowest": "minimize", "highest": "maximize"}
    for record in records.values():
        for metric in record.values:
            direction: Any = directions.get(record.order, "minimize")
            return (ObjectiveConfig(metric=metric, direction=direction),)
    output = config.get("output")
    checkpoint = output.get("checkpoint") if isinstance(output, dict) else None
    best = checkpoint.get("best") if isinstance(checkpoint, dict) else None
    if isinstance(best, dict) and best.get("metric"):
        direction = directions.get(str(best.get("order")), "minimize")
        return (ObjectiveConfig(metric=str(best["metric"]), direction=direction),)
    return (ObjectiveConfig(),)


def _valid(kind: Any, sections: Any) -> list[Any]:
    try:
        return [kind(**one) for one in sections or ()]
    except (TypeError, ValidationError):
        return []


def _sweeps_inside(folder: Path) -> list[Path]:
    """Returns the sweeps below a folder, the newest first."""
    found = [*folder.glob(f"*/{TRIALS}"), *folder.glob(f"*/*/{TRIALS}")]
    found.sort(key=lambda file: file.stat().st_mtime, reverse=True)
    return [file.parent for file in found]


def _no_sweep(
    directory: str | Path, folder: Path, inside: Sequence[Path] = ()
) -> Diagnostic:
    problem, hint = "holds no sweep", ""
    if inside:
        newest = Path(directory) / inside[0].relative_to(folder)
        problem = f"holds {len(inside)} sweeps" if inside[1:] else "holds a sweep"
        hint = f"The newest is {newest}."
    elif not folder.is_dir():
        problem = "is no directory"
    elif is_run(folder):
        hint = f"It is one run: specflow evaluate run={directory}."
    return Diagnostic(
        "sweep",
        f"'{directory}' {problem}",
        expected="the output.dir of specflow train -m",
        hint=hint,
        origin="command line",
        code="sweep-missing",
    )
