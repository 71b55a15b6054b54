"""The launcher of specflow: Hydra's batches of trials in a pool of workers."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.sweep.engines import Callbacks, Engine, LocalEngine, engine_of
from specflow.sweep.hydra_jobs import SweepJob
from specflow.sweep.outcomes import Outcome, settings_of
from specflow.sweep.pool.trial import Trial, TrialOutcome, TrialReport, TrialStatus
from specflow.sweep.pool.trial_pool import SweepStopped
from specflow.sweep.several_processes import is_one_of_several
from specflow.sweep.sweep_progress import SweepProgress
from specflow.sweep.trial_records import TrialRecord, append_record, read_records

__all__ = ["engine_in_use", "launch"]


def launch(
    launcher: Any, job_overrides: Sequence[Sequence[str]], first: int
) -> Sequence[JobReturn]:
    """Runs a batch of trials; a complete one of an earlier call is not run again.

    With `hydra/launcher=specflow`, trials run in this process, one after another as by
    Hydra's own launcher, where it is one of several that train together, and where an
    option asks Hydra to change the process for each of them.

    Args:
        launcher: that of specflow, with what Hydra gave it.
        job_overrides: those of each trial.
        first: number of the first trial.

    Returns:
        An `Outcome` for each trial, in their order.

    Raises:
        ConfigError: the application is not specflow, or an option does not fit.
        SweepStopped: a signal arrived; running trials have saved their state.
    """
    context, job, config = launcher.context, launcher.task, launcher.config
    if not isinstance(job, SweepJob):
        raise _wrong("hydra/launcher", "runs trials of specflow alone", "basic")
    if (engine := engine_in_use(launcher, job, config)) is None:
        basic = BasicLauncher()
        basic.setup(hydra_context=context, task_function=job, config=config)
        return basic.launch(job_overrides, first)
    trials = []
    for number, overrides in enumerate(job_overrides, first):
        lines = [one for one in overrides if not one.startswith(("hydra.", "hydra/"))]
        directory = _directory(context, config, overrides, number)
        trials.append(_LaunchedTrial(number, tuple(lines), directory))
    launched = _Launch(job, Path(str(config.hydra.sweep.dir)), trials)
    outcomes = launched.run(engine)
    job.outcomes += outcomes
    return [_job_return(outcome) for outcome in outcomes]


def _wrong(where: str, problem: str, expected: str) -> ConfigError:
    return ConfigError(Diagnostic(where, problem, expected=expected, code="sweep"))


def engine_in_use(launcher: Any, job: SweepJob, config: DictConfig) -> Engine | None:
    """Returns the engine that runs the trials; None: Hydra runs them in this process.

    Args:
        launcher: any of Hydra's.
        job: composes and runs trials.
        config: of the sweep, with Hydra's own section.

    Raises:
        ConfigError: an option asks for this process, and the launcher for others.
    """
    engine = engine_of(launcher)
    if engine is None or not (job.worker_command is None or _runs_here(config)):
        return engine
    if isinstance(engine, LocalEngine):
        return None
    raise _wrong(
        "hydra/launcher",
        "runs trials in processes of their own, which Hydra does not change",
        "specflow or basic with hydra.job.chdir, hydra.job.env_set, hydra.callbacks, "
        "hydra.output_subdir or handlers of hydra.job_logging, in a single process",
    )


def _runs_here(config: DictConfig) -> bool:
    written: Any = OmegaConf.to_container(config.hydra, resolve=False)
    changes = written["job"]["chdir"] or written["job"]["env_set"]
    writes = written["output_subdir"] or written["callbacks"]
    logs = (written["job_logging"] or {}).get("handlers")
    return bool(changes or writes or logs or is_one_of_several())


def _directory(
    context: HydraContext, config: DictConfig, overrides: Sequence[str], number: int
) -> str:
    """Run directory of a trial."""
    written: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    folder, name = str(written["dir"]), str(written["subdir"])
    if "${" in folder or name != "${hydra.job.num}":
        # Only Hydra knows: the name depends on the trial.
        own = context.config_loader.load_sweep_config(config, list(overrides))
        OmegaConf.set_readonly(own.hydra, False)
        own.hydra.job.num, own.hydra.job.id = number, f"job_id_{number}"
        return os.path.join(str(own.hydra.sweep.dir), str(own.hydra.sweep.subdir))
    return os.path.join(folder, str(number))


def _job_return(outcome: Outcome) -> JobReturn:
    returned = JobReturn(overrides=outcome.overrides, status=JobStatus.COMPLETED)
    returned.return_value = outcome
    return returned


class _LaunchedTrial:
    """A trial of a batch.

    Args:
        number: of the trial.
        lines: overrides that the sweeper gave it.
        directory: its run directory.
    """

    def __init__(self, number: int, lines: tuple[str, ...], directory: str):
        self.number, self.lines, self.directory = number, lines, directory
        self.started = ""
        """ISO 8601 time of its start."""

    def record(self, folder: Path, status: TrialStatus, **fields: Any) -> TrialRecord:
        """The trial as it stands."""
        directory = fields.pop("directory", self.directory)
        return TrialRecord(
            number=self.number,
            overrides=settings_of(self.lines),
            directory=os.path.relpath(directory, folder),
            status=status,
            started=self.started,
            **fields,
        )


class _Launch:
    """Runs a batch, records and shows it.

    Args:
        job: composes and runs trials.
        folder: of the sweep.
        trials: of the batch.
    """

    def __init__(self, job: SweepJob, folder: Path, trials: list[_LaunchedTrial]):
        self._job, self._folder = job, folder
        self._trials = {trial.number: trial for trial in trials}
        self._outcomes: dict[int, Outcome] = {}

    def run(self, engine: Engine) -> list[Outcome]:
        """Returns the outcomes of all trials, in their order."""
        former = read_records(self._folder)
        for trial in self._trials.values():
            record = former.get(trial.number)
            outcome = None if record is None else self._done(trial, record)
            if outcome is not None:
                self._outcomes[trial.number] = outcome
        waiting = [n for n in self._trials if n not in self._outcomes]
        self._progress = SweepProgress(len(self._trials))
        try:
            if waiting:
                self._run(waiting, engine)
        finally:
            self._progress.close()
        return [self._outcomes[number] for number in self._trials]

    def _run(self, numbers: Sequence[int], engine: Engine) -> None:
        job = self._job
        callbacks = Callbacks(
            on_start=self._start,
            on_retry=self._progress.retry,
            on_reports=self._report,
            on_note=self._progress.note,
        )
        with engine.open(job.workplace(self._folder), callbacks) as pool:
            for number in numbers:
                trial = self._trials[number]
                overrides = tuple(job.complete(trial.lines, trial.directory))
                directory = trial.directory
                pool.submit(
                    Trial(number=number, overrides=overrides, directory=directory)
                )
            for _ in numbers:
                try:
                    self._end(pool.next_outcome())
                except SweepStopped as stopped:
                    done = len(self._outcomes)
                    raise SweepStopped(
                        stopped.signal,
                        f"stopped: {done} of {len(self._trials)} trials are complete; "
                        f"the same command with output.dir={self._folder} resumes"
                        f"{stopped.note}",
                    ) from None

    def _start(self, started: Trial) -> None:
        trial = self._trials[started.number]
        trial.started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        append_record(self._folder, trial.record(self._folder, TrialStatus.RUNNING))
        self._progress.start(trial.number, self._varied(trial.lines))

    def _report(self, reports: Sequence[TrialReport]) -> Sequence[int]:
        for report in reports:
            self._progress.report(report)
        return ()

    def _end(self, ended: TrialOutcome) -> None:
        trial, result = self._trials[ended.number], ended.result or {}
        value = result.get("eval", {}).get(ended.metric)
        self._outcomes[trial.number] = _outcome(trial, ended)
        record = trial.record(
            self._folder,
            ended.status,
            directory=result.get("directory", trial.directory),
            values={} if value is None else {ended.metric: value},
            order=ended.order,
            step=result.get("step"),
            seconds=round(ended.seconds, 3),
            error=ended.error,
            failure=ended.failure,
            attempts=ended.attempts,
        )
        append_record(self._folder, record)
        self._progress.end(ended)

    def _done(self, trial: _LaunchedTrial, record: TrialRecord) -> Outcome | None:
        """The outcome of a trial that an earlier call completed; else None."""
        done = record.status in (TrialStatus.COMPLETE, TrialStatus.PRUNED)
        if not done or dict(record.overrides) != settings_of(trial.lines):
            return None
        directory = os.path.normpath(self._folder / record.directory)
        try:
            result = json.loads((Path(directory) / "result.json").read_bytes())
        except (OSError, ValueError):
            return None
        metric = next(iter(record.values), "loss")
        outcome = TrialOutcome(
            number=trial.number,
            status=record.status,
            result={**result, "directory": directory},
            metric=metric,
            order=record.order,
        )
        return _outcome(trial, outcome)

    def _varied(self, lines: Sequence[str]) -> Mapping[str, str]:
        """The settings of a trial that differ between the trials of the batch."""
        every = [settings_of(trial.lines) for trial in self._trials.values()]
        return {
            key: text
            for key, text in settings_of(lines).items()
            if len({settings.get(key) for settings in every}) > 1 or len(every) == 1
        }


def _outcome(trial: _LaunchedTrial, ended: TrialOutcome) -> Outcome:
    directory = (ended.result or {}).get("directory", trial.directory)
    return Outcome(
        trial.lines,
        os.path.abspath(directory),
        ended.result,
        ended.error,
        ended.metric,
        ended.order,
        failure=ended.failure,
    )
