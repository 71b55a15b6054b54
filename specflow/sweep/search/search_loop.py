"""The loop of a search: propose, run, prune, store, until all trials have ended."""

import collections
import dataclasses
import json
import math
import os
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from optuna.trial import FrozenTrial, TrialState

from specflow.config.common.triggers import seconds_of
from specflow.diagnostics.passwords import without_password
from specflow.sweep.engines import Pool
from specflow.sweep.pool.trial import Trial, TrialOutcome, TrialReport, TrialStatus
from specflow.sweep.search.search_plan import SearchPlan
from specflow.sweep.search.study_storage import Supervisors
from specflow.sweep.search.study_trials import DIRECTORY, StudyTrials
from specflow.sweep.search.trial_results import (
    evaluated,
    joined,
    result_of,
    stored_result,
)
from specflow.sweep.trial_records import TrialRecord, append_record, read_records

__all__ = ["PoolMaker", "Search", "SearchedTrial"]


PoolMaker = Callable[
    [Callable[[Trial], None], Callable[[Sequence[TrialReport]], Collection[int]]],
    AbstractContextManager[Pool],
]
"""Makes a pool from its `on_start` and `on_reports`."""


class Watcher(Protocol):
    """What shows a user the trials; see `SweepProgress`."""

    def start(self, number: int, settings: Mapping[str, str]) -> None:
        """Shows a trial that starts."""
        ...

    def report(self, report: TrialReport) -> None:
        """Shows an evaluation."""
        ...

    def retry(self, outcome: TrialOutcome) -> None:
        """Shows why a trial starts again."""
        ...

    def end(self, outcome: TrialOutcome) -> None:
        """Shows how a trial ended."""
        ...


@dataclasses.dataclass(kw_only=True)
class SearchedTrial:
    """A trial of a search.

    Args:
        number: in the study.
        lines: overrides of its values.
        directory: of its run, or of its repeats.
        started: ISO 8601 time.
        outcome: how it ended; None while it runs.
    """

    number: int
    lines: tuple[str, ...]
    directory: Path
    started: str = ""
    outcome: TrialOutcome | None = None
    ended: list[TrialOutcome] = dataclasses.field(default_factory=list)
    """Outcomes of its runs so far."""

    @property
    def settings(self) -> dict[str, str]:
        """Key -> value as text."""
        return {
            key: text for key, _, text in (one.partition("=") for one in self.lines)
        }


class Search:
    """Runs a search, and resumes it.

    Args:
        plan: of the search.
        directory: of the sweep.
        complete: returns all overrides of a run from its own and its directory.
        watcher: shows the trials.
    """

    def __init__(
        self,
        plan: SearchPlan,
        directory: Path,
        complete: Callable[[Sequence[str], str], Sequence[str]],
        watcher: Watcher,
    ):
        self._plan, self._directory = plan, directory
        self._complete, self._watcher = complete, watcher
        self._trials: dict[int, SearchedTrial] = {}
        self._queue: collections.deque[tuple[SearchedTrial, int]] = collections.deque()
        self._deadline = math.inf
        self._has_adopted = False

    def run(self, make_pool: PoolMaker) -> list[SearchedTrial]:
        """Returns all trials, in the order of their numbers, once none is left to run.

        Args:
            make_pool: makes the pool that runs them.
        """
        timeout = self._plan.sweep.timeout
        if timeout is not None:
            self._deadline = time.monotonic() + float(seconds_of(timeout) or timeout)
        _write_once(self._directory / "sweep.json", self._description())
        with Supervisors(self._directory) as supervisors:
            self._turn = supervisors.turn
            self._study = StudyTrials(self._plan, self._directory, supervisors)
            self._records = read_records(self._directory)
            with self._study.connected():
                with make_pool(self._start, self._prune) as pool:
                    self._run_all(pool)
                return self._all()

    def _run_all(self, pool: Pool) -> None:
        running = 0
        while True:
            while running < pool.slots and (run := self._next_run()):
                pool.submit(run)
                running += 1
            if not running:
                return
            outcome = pool.next_outcome()
            running -= 1
            self._finish(self._trial_of(outcome.number), outcome)

    def counts(self) -> tuple[int, int]:
        """Returns the number of trials that have ended here, and of all."""
        ended = sum(one.outcome is not None for one in self._trials.values())
        return ended, self._plan.trials

    def _description(self) -> dict[str, Any]:
        plan = self._plan
        return {
            "overrides": list(plan.lines),
            **plan.definition(),
            "trials": plan.trials,
            "study": plan.study_name(self._directory),
            "storage": without_password(plan.sweep.storage),
        }

    def _next_run(self) -> Trial | None:
        """Returns the next run; None if this process has none to start."""
        while not self._queue:
            if time.monotonic() > self._deadline:
                return None
            found = None if self._has_adopted else self._study.adopt()
            self._has_adopted = found is None
            found = found or self._study.next()
            if found is None:
                return None
            self._begin(*found)
        return self._run_of(*self._queue.popleft())

    def _begin(self, asked: Any, values: Mapping[str, Any]) -> None:
        """Queues the runs of a trial, without those that an earlier call completed."""
        plan, number = self._plan, asked.number
        lines = tuple(one.override(values[one.key]) for one in plan.dimensions)
        trial = SearchedTrial(
            number=number, lines=lines, directory=self._directory / str(number)
        )
        self._trials[number] = trial
        for repeat in range(plan.sweep.repeats):
            result = result_of(self._run_directory(trial, repeat))
            if result is None:
                self._queue.append((trial, repeat))
                continue
            pruned = result.get("pruned")
            status = TrialStatus.PRUNED if pruned else TrialStatus.COMPLETE
            self._finish(
                trial, TrialOutcome(number=number, status=status, result=result)
            )
            if trial.outcome is not None:
                break

    def _run_directory(self, trial: SearchedTrial, repeat: int) -> Path:
        if self._plan.sweep.repeats == 1:
            return trial.directory
        return trial.directory / f"seed-{self._plan.seed + repeat}"

    def _run_of(self, trial: SearchedTrial, repeat: int) -> Trial:
        plan = self._plan
        seed = [f"seed={plan.seed + repeat}"] if plan.sweep.repeats > 1 else []
        directory = str(self._run_directory(trial, repeat))
        lines = [*plan.lines, *trial.lines, *seed]
        return Trial(
            number=trial.number * plan.sweep.repeats + repeat,
            overrides=tuple(self._complete(lines, directory)),
            directory=directory,
        )

    def _trial_of(self, run: int) -> SearchedTrial:
        return self._trials[run // self._plan.sweep.repeats]

    def _start(self, run: Trial) -> None:
        trial = self._trial_of(run.number)
        if trial.started:
            return
        trial.started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        append_record(self._directory, self._record(trial, TrialStatus.RUNNING))
        self._watcher.start(trial.number, trial.settings)

    def retry(self, outcome: TrialOutcome) -> None:
        """Shows that a run starts again."""
        number = self._trial_of(outcome.number).number
        self._watcher.retry(dataclasses.replace(outcome, number=number))

    def _prune(self, reports: Sequence[TrialReport]) -> list[int]:
        """Returns the runs to prune, of those that have evaluated a step together."""
        repeats, objective = self._plan.sweep.repeats, self._plan.objectives[0]
        judged: list[int] = []
        pruned: list[int] = []
        for report in reports:
            trial = self._trial_of(report.number)
            shown = dataclasses.replace(report, number=trial.number)
            self._watcher.report(shown)
            value = report.metrics.get(objective.metric)
            # Seeds differ less than settings: the first run decides for all.
            is_first = report.number % repeats == 0
            if self._plan.sweep.pruner is None or not is_first or value is None:
                continue
            if self._study.was_pruned(trial.number):
                pruned.append(report.number)
                continue
            self._study.report(trial.number, report.step, float(value))
            judged.append(report.number)
        # Halving compares with those that were asked before: best first would keep one
        # alone, worst first all.
        step = reports[0].step if reports else 0
        random.Random(f"{self._plan.sweep.seed}/{step}").shuffle(judged)
        pruned += [run for run in judged if self._study.is_pruned(run // repeats)]
        return pruned

    def _finish(self, trial: SearchedTrial, outcome: TrialOutcome) -> None:
        """Takes the end of a run; stores the trial if it was the last."""
        repeats = self._plan.sweep.repeats
        trial.ended.append(outcome)
        if outcome.status is TrialStatus.COMPLETE and len(trial.ended) < repeats:
            return
        waiting = [one for one in self._queue if one[0] is not trial]
        self._queue = collections.deque(waiting)
        if trial.outcome is not None:
            return  # A run of a trial that has failed meanwhile.
        if repeats > 1:
            outcome = joined(trial.ended, trial.number, trial.directory)
        with self._turn():  # Another process meets both, or neither; see `_all`.
            trial.outcome = self._stored(trial, outcome)
            record = self._record(trial, trial.outcome.status, trial.outcome)
            append_record(self._directory, record)
        self._watcher.end(trial.outcome)

    def _stored(self, trial: SearchedTrial, outcome: TrialOutcome) -> TrialOutcome:
        """Tells the study how a trial ended; returns it with what judges it."""
        objective = self._plan.objectives[0]
        order = "highest" if objective.direction == "maximize" else "lowest"
        outcome = dataclasses.replace(
            outcome, number=trial.number, metric=objective.metric, order=order
        )
        if outcome.status is TrialStatus.COMPLETE:
            found = evaluated(self._plan, outcome.result or {})
            if not found.problem:
                self._study.complete(trial.number, found)
                return outcome
            outcome = dataclasses.replace(
                outcome,
                status=TrialStatus.FAILED,
                result=None,
                error=f"the objective {found.problem}",
                failure="nan",
            )
        if outcome.status is TrialStatus.PRUNED:
            self._study.prune(trial.number)
        else:
            self._study.fail(trial.number, outcome.failure)
        return outcome

    def _record(
        self,
        trial: SearchedTrial,
        status: TrialStatus,
        outcome: TrialOutcome | None = None,
    ) -> TrialRecord:
        result = (outcome and outcome.result) or {}
        metrics = result.get("eval", {})
        names = [one.metric for one in self._plan.objectives]
        former = self._records.get(trial.number)
        return TrialRecord(
            number=trial.number,
            overrides=trial.settings,
            directory=os.path.relpath(trial.directory, self._directory),
            status=status,
            values={name: metrics[name] for name in names if name in metrics},
            order=outcome.order if outcome else "lowest",
            step=result.get("step"),
            seconds=round(outcome.seconds, 3) if outcome else None,
            error=outcome.error if outcome else "",
            failure=outcome.failure if outcome else "",
            attempts=outcome.attempts if outcome else 1,
            started=trial.started or (former.started if former else ""),
        )

    def _all(self) -> list[SearchedTrial]:
        """Returns every trial that has ended, those of earlier calls included."""
        with self._turn():
            self._records = read_records(self._directory)
            for frozen in self._study.all():
                ended = frozen.state in _STATUS
                if ended and frozen.number not in self._trials:
                    self._trials[frozen.number] = self._earlier(frozen)
        return [
            self._trials[number]
            for number in sorted(self._trials)
            if self._trials[number].outcome is not None
        ]

    def _earlier(self, frozen: FrozenTrial) -> SearchedTrial:
        """Returns a trial that another call, or another process, has run."""
        known = {one.key: one for one in self._plan.dimensions}
        lines = (known[key].override(value) for key, value in frozen.params.items())
        own = self._directory / str(frozen.number)
        # Of a trial of another machine, if this one sees it.
        directory = Path(frozen.user_attrs.get(DIRECTORY, own))
        trial = SearchedTrial(
            number=frozen.number, lines=tuple(lines), directory=directory
        )
        record, status = self._records.get(frozen.number), _STATUS[frozen.state]
        failed = status is TrialStatus.FAILED
        objective = self._plan.objectives[0]
        duration = frozen.duration.total_seconds() if frozen.duration else 0.0
        trial.outcome = TrialOutcome(
            number=frozen.number,
            status=status,
            result=None
            if failed
            else result_of(directory) or stored_result(self._plan, frozen, directory),
            error=(record.error if record else "") or ("failed" if failed else ""),
            failure=frozen.user_attrs.get("failure", "") if failed else "",
            seconds=(record.seconds if record else None) or duration,
            metric=objective.metric,
            order="highest" if objective.direction == "maximize" else "lowest",
        )
        # The storage is the truth; a kill can come between it and the record.
        if record is None or record.status is TrialStatus.RUNNING:
            append_record(self._directory, self._record(trial, status, trial.outcome))
        return trial


_STATUS = {
    TrialState.COMPLETE: TrialStatus.COMPLETE,
    TrialState.PRUNED: TrialStatus.PRUNED,
    TrialState.FAIL: TrialStatus.FAILED,
}


def _write_once(file: Path, content: Mapping[str, Any]) -> None:
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_name(f"{file.name}.{os.getpid()}")
    written.write_text(json.dumps(content, indent=2))
    os.replace(written, file)
