"""The sweeper of specflow: a search, on the launcher that Hydra gives it."""

import dataclasses
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from specflow.compose.read.override_grammar import format_value
from specflow.config.sections.mesh import INDEX
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.sweep.engines import Callbacks, Pool
from specflow.sweep.hydra_jobs import SweepJob
from specflow.sweep.hydra_launch import engine_in_use
from specflow.sweep.outcomes import Outcome
from specflow.sweep.pareto_front import undominated
from specflow.sweep.pool.trial import Trial, TrialReport, TrialStatus
from specflow.sweep.pool.trial_pool import SweepStopped
from specflow.sweep.search.constraints import violations
from specflow.sweep.search.launcher_pool import LauncherPool
from specflow.sweep.search.search_loop import Search, SearchedTrial
from specflow.sweep.search.search_plan import SearchPlan
from specflow.sweep.sweep_progress import SweepProgress

__all__ = ["search"]


def search(job: Any, config: DictConfig, launcher: Launcher, *, batch: int) -> None:
    """Runs the search of a command; its outcomes are added to those of the job.

    Args:
        job: what Hydra calls for each trial, with the plan of the search.
        config: of the sweep, with Hydra's own section.
        launcher: runs the trials; that of specflow gives its workers.
        batch: number of trials that other launchers get at once.

    Raises:
        ConfigError: the application is not specflow, or an option does not fit.
        SweepStopped: a signal arrived; running trials have saved their state.
    """
    if not isinstance(job, SweepJob) or job.plan is None:
        problem = "searches trials of specflow alone"
        raise ConfigError(
            Diagnostic("hydra/sweeper", problem, expected="basic", code="sweep")
        )
    plan, directory = job.plan, Path(str(config.hydra.sweep.dir))
    engine = engine_in_use(launcher, job, config)
    _check_launcher(plan, config, prunes=engine is not None and engine.prunes)
    progress = SweepProgress(plan.trials)
    loop = Search(plan, directory, job.complete, progress)

    def pool(
        on_start: Callable[[Trial], None],
        on_reports: Callable[[Sequence[TrialReport]], Collection[int]],
    ) -> AbstractContextManager[Pool]:
        if engine is None:
            return LauncherPool(
                launcher, slots=batch, lines_of=_hydra_lines(job), on_start=on_start
            )
        callbacks = Callbacks(
            on_start=on_start,
            on_retry=loop.retry,
            on_reports=on_reports,
            on_note=progress.note,
        )
        return engine.open(job.workplace(directory), callbacks)

    try:
        trials = loop.run(pool)
    except SweepStopped as stopped:
        ended, of = loop.counts()
        raise SweepStopped(
            stopped.signal,
            f"stopped: {ended} trials of this call have ended, of {of}; the same "
            f"command with output.dir={directory} resumes{stopped.note}",
        ) from None
    finally:
        progress.close()
    job.outcomes[:] = _with_front([_outcome(trial, plan) for trial in trials], plan)


def _with_front(outcomes: list[Outcome], plan: SearchPlan) -> list[Outcome]:
    """Marks the Pareto front, if there are several objectives."""
    if len(plan.objectives) == 1:
        return outcomes
    values = {
        number: [(one.result or {})["eval"][each.metric] for each in plan.objectives]
        for number, one in enumerate(outcomes)
        if one.status == "complete"
    }
    front = undominated(values, plan.objectives)
    return [
        dataclasses.replace(one, is_on_front=number in front)
        for number, one in enumerate(outcomes)
    ]


def _check_launcher(plan: SearchPlan, config: DictConfig, *, prunes: bool) -> None:
    if INDEX in os.environ:
        problem = "cannot run as one of several processes"
        hint = "Run it without specflow launch; hydra.launcher.workers=N divides the "
        hint += "devices."
        raise ConfigError(Diagnostic("sweep", problem, hint=hint, code="sweep"))
    if plan.sweep.pruner is not None and not prunes:
        name = str(config.hydra.runtime.choices.get("hydra/launcher"))
        expected = "null: only trials of hydra/launcher=specflow and specflow_ray hear "
        expected += "that they are pruned"
        problem = f"is set, with hydra/launcher={name}"
        raise ConfigError(Diagnostic("sweep.pruner", problem, expected, code="sweep"))


def _hydra_lines(job: SweepJob) -> Callable[[Trial], list[str]]:
    """Returns the overrides of a trial for Hydra, which composes its own section."""

    def lines(trial: Trial) -> list[str]:
        own = [
            one
            for one in trial.overrides
            if one not in job.fixed and not one.startswith("output.dir=")
        ]
        folder, name = os.path.split(trial.directory)
        return [
            *(f"++{one.lstrip('+')}" if _is_value(one) else one for one in own),
            f"hydra.sweep.dir={format_value(folder)}",
            f"hydra.sweep.subdir={format_value(name)}",
        ]

    return lines


def _is_value(line: str) -> bool:
    """Returns whether an override sets a value, and chooses nothing in a group."""
    key = line.partition("=")[0]
    return "." in key and not line.startswith("~")


def _outcome(trial: SearchedTrial, plan: SearchPlan) -> Outcome:
    ended = trial.outcome
    assert ended is not None
    directory = (ended.result or {}).get("directory", str(trial.directory))
    failed = ended.status is TrialStatus.FAILED
    metrics = (ended.result or {}).get("eval", {})
    infeasible = [] if failed else violations(plan.sweep.constraints, metrics)
    return Outcome(
        trial.lines,
        os.path.abspath(directory),
        None if failed else ended.result or {},
        ended.error,
        ended.metric,
        ended.order,
        infeasible=", ".join(infeasible),
        failure=ended.failure,
    )
