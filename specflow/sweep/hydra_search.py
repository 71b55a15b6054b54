"""The sweeper of specflow: a search, on the launcher that Hydra gives it."""

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from specflow.compose.read.override_grammar import format_value
from specflow.config.sections.mesh import INDEX
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.sweep.hydra_jobs import SweepJob
from specflow.sweep.hydra_launch import runs_here
from specflow.sweep.outcomes import Outcome
from specflow.sweep.pool.trial import Trial, TrialReport, TrialStatus
from specflow.sweep.pool.trial_pool import SweepStopped, TrialPool
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
    workers = getattr(launcher, "workers", None)
    in_pool = (
        workers is not None and job.worker_command is not None and not runs_here(config)
    )
    _check_launcher(plan, config, in_pool)
    progress = SweepProgress(plan.trials)
    loop = Search(plan, directory, job.complete, progress)

    def pool(
        on_start: Callable[[Trial], None],
        on_reports: Callable[[Sequence[TrialReport]], Collection[int]],
    ) -> TrialPool | LauncherPool:
        if not in_pool:
            return LauncherPool(
                launcher, slots=batch, lines_of=_hydra_lines(job), on_start=on_start
            )
        return TrialPool(
            job.worker_command or (),
            workers=workers or 1,
            config_dirs=job.config_dirs,
            started_in=job.started_in,
            logs=(directory / "logs").absolute(),
            first_worker=job.take_worker(),
            on_start=on_start,
            on_reports=on_reports,
        )

    try:
        trials = loop.run(pool)
    except SweepStopped as stopped:
        ended, of = loop.counts()
        raise SweepStopped(
            stopped.signal,
            f"stopped: {ended} trials of this call have ended, of {of}; the same "
            f"command with output.dir={directory} resumes",
        ) from None
    finally:
        progress.close()
    job.outcomes[:] = [_outcome(trial, plan) for trial in trials]


def _check_launcher(plan: SearchPlan, config: DictConfig, in_pool: bool) -> None:
    if INDEX in os.environ:
        problem = "cannot run as one of several processes"
        hint = "Run it without specflow launch; hydra.launcher.workers=N divides the "
        hint += "devices."
        raise ConfigError(Diagnostic("sweep", problem, hint=hint, code="sweep"))
    if plan.sweep.pruner is not None and not in_pool:
        name = str(config.hydra.runtime.choices.get("hydra/launcher"))
        expected = "null: only trials in workers of hydra/launcher=specflow report"
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
    )
