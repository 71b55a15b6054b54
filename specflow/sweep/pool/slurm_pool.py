"""Trials as jobs of Slurm, submitted by submitit."""

import collections
import contextlib
import dataclasses
import importlib
import itertools
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime.signal_handlers import signal_handlers
from specflow.sweep.pool.slurm_job import SlurmJob, read_events
from specflow.sweep.pool.trial import Trial, TrialOutcome, TrialReport, TrialStatus
from specflow.sweep.pool.trial_failures import Failure, is_retried
from specflow.sweep.pool.trial_pool import SweepStopped

__all__ = ["SlurmPool", "executor"]

_POLL_S = 1.0
_ARRAY = 1000
"""Jobs of an array: Slurm's default limit is 1,001."""
_JOBS = "jobs.jsonl"
_SUBMITTED = "_submitted.pkl"
"""End of the name of submitit's file of a job, behind the number of the job."""
_STATES = {
    "CANCELLED": Failure.CANCELLED,
    "OUT_OF_MEMORY": Failure.OUT_OF_MEMORY,
    "PREEMPTED": Failure.PREEMPTED,
    "TIMEOUT": Failure.PREEMPTED,
}
"""State of a job without a result -> the failure of its running trial."""


def executor(
    folder: Path, cluster: str, max_num_timeout: int, parameters: Mapping[str, Any]
) -> Any:
    """Returns the executor of submitit.

    Args:
        folder: of its files.
        cluster: `slurm`, or `local`: processes of this machine.
        max_num_timeout: how often a job whose time is over is queued again.
        parameters: of submitit's `AutoExecutor.update_parameters`.

    Raises:
        ConfigError: submitit is not installed, there is no Slurm, or a parameter is
            none.
    """
    try:
        submitit: Any = importlib.import_module("submitit")
        importlib.import_module("submitit.helpers")  # Not a folder with that name.
    except ImportError:
        problem = "specflow_slurm needs the package submitit, which is not installed"
        hint = "pip install 'specflow-jax[slurm]'."
        raise ConfigError(
            Diagnostic("hydra/launcher", problem, hint=hint, code="package-missing")
        ) from None
    logger = logging.getLogger("submitit")  # Standard output is that of the command.
    logger.handlers = [one for one in logger.handlers if one.level >= logging.WARNING]
    try:
        made = submitit.AutoExecutor(
            folder,
            cluster,
            slurm_max_num_timeout=max_num_timeout,
            local_max_num_timeout=max_num_timeout,
        )
        made.update_parameters(**parameters)
    except (RuntimeError, ValueError, NameError, AssertionError) as error:
        raise _refused(error) from None
    return made


def _refused(error: Exception) -> ConfigError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    problem = lines[-1] if lines else type(error).__name__
    if "srun" in problem:
        problem = "srun is not found: this machine is not part of a Slurm cluster"
    hint = "See `sinfo`; hydra.launcher.cluster=local runs the jobs on this machine."
    return ConfigError(Diagnostic("hydra.launcher", problem, hint=hint, code="cluster"))


@dataclasses.dataclass
class _Submitted:
    """A job, and the trials of it whose end is awaited."""

    job: Any
    events: Path
    waiting: dict[int, Trial]
    is_earlier: bool = False
    """Whether another process submitted it."""
    offset: int = 0
    started: set[int] = dataclasses.field(default_factory=set)


class SlurmPool:
    """Runs trials in jobs, which need no supervision: it submits them and watches.

    Started again, it finds what its jobs have done meanwhile, and watches those that
    are still queued or run. A job that is lost is submitted again.

    Args:
        executor: that of submitit.
        make_job: makes the job of some trials from them and its file of events.
        folder: of the jobs' files.
        cluster: that of the executor.
        trials_per_job: number of trials that a job runs one after another.
        max_concurrent: number of jobs at once.
        retries: how often a trial may start again after its job was lost.
        on_start: called with each trial that starts, once.
        on_retry: called with the failure of a trial that runs again.
        on_reports: called with each report.
        on_note: called with what a user should know about the jobs.
    """

    def __init__(
        self,
        executor: Any,
        make_job: Callable[[tuple[Trial, ...], Path], SlurmJob],
        folder: Path,
        *,
        cluster: str,
        trials_per_job: int,
        max_concurrent: int,
        retries: int,
        on_start: Callable[[Trial], None],
        on_retry: Callable[[TrialOutcome], None],
        on_reports: Callable[[Sequence[TrialReport]], Any],
        on_note: Callable[[str], None],
    ):
        self.slots = max_concurrent * trials_per_job
        self._executor, self._make_job, self._folder = executor, make_job, folder
        self._is_local, self._each = cluster == "local", trials_per_job
        self._most, self._retries = max_concurrent, retries
        self._on_start, self._on_retry = on_start, on_retry
        self._on_reports, self._on_note = on_reports, on_note
        self._queue: collections.deque[Trial] = collections.deque()
        self._jobs: list[_Submitted] = []
        self._outcomes: collections.deque[TrialOutcome] = collections.deque()
        self._losses: collections.Counter[int] = collections.Counter()
        self._started: set[int] = set()
        self._earlier: dict[int, tuple[_Submitted, tuple[str, ...]]] = {}
        self._handlers = contextlib.ExitStack()
        self._signal: int | None = None

    def __enter__(self) -> Self:
        recorded = [event for event, _ in read_events(self._folder / _JOBS, 0)]
        for event in [*recorded, *self._unrecorded(recorded)]:
            job = self._job_of(event["job"])
            one = _Submitted(job, self._folder / event["events"], {}, is_earlier=True)
            for number, overrides in event["trials"]:
                self._earlier[number] = one, tuple(overrides)
        self._handlers.enter_context(signal_handlers(self._stop))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._handlers.close()

    def submit(self, trial: Trial) -> None:
        """Queues a trial, unless a job of an earlier call has run it, or will."""
        one, overrides = self._earlier.pop(trial.number, (None, ()))
        if one is None or overrides != trial.overrides:
            self._queue.append(trial)
        elif done := _success(one.events, trial.number):
            self._outcomes.append(done)
        elif self._has_ended(one):
            self._queue.append(trial)
        else:
            one.waiting[trial.number] = trial
            if one not in self._jobs:
                self._jobs.append(one)

    def next_outcome(self) -> TrialOutcome:
        """Submits what is queued, and waits until the next trial ends.

        Raises:
            ConfigError: Slurm refuses the jobs.
            LookupError: no trial is queued or running.
            SweepStopped: a signal arrived; the jobs continue.
        """
        while not self._outcomes:
            if self._signal is not None:
                raise SweepStopped(self._signal, note=self._remaining())
            self._submit_queued()
            if not self._jobs:
                raise LookupError("no trial is queued or running")
            for one in list(self._jobs):
                has_ended = self._has_ended(one)
                self._follow(one)
                if has_ended or not one.waiting:
                    self._jobs.remove(one)
                    self._lose(one)
            if not self._outcomes and not self._queue:
                time.sleep(_POLL_S)
        return self._outcomes.popleft()

    def _submit_queued(self) -> None:
        """Submits the queued trials in arrays of jobs."""
        while self._queue:
            # submitit's local executor starts all jobs of an array at once.
            room = self._most - len(self._jobs) if self._is_local else _ARRAY
            if room <= 0:
                return
            chunks = []
            while self._queue and len(chunks) < room:
                size = min(self._each, len(self._queue))
                chunks.append(tuple(self._queue.popleft() for _ in range(size)))
            self._submit_array(chunks)

    def _submit_array(self, chunks: Sequence[tuple[Trial, ...]]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        files = [self._new_file(chunk) for chunk in chunks]
        own = [self._make_job(*one) for one in zip(chunks, files, strict=True)]
        try:
            jobs = self._executor.submit_array(own)
        except RuntimeError as error:
            raise _refused(error) from None
        for job, chunk, file in zip(jobs, chunks, files, strict=True):
            self._record(job, chunk, file)
            waiting = {trial.number: trial for trial in chunk}
            self._jobs.append(_Submitted(job, file, waiting))

    def _record(self, job: Any, chunk: Sequence[Trial], file: Path) -> dict[str, Any]:
        trials = [(trial.number, trial.overrides) for trial in chunk]
        line = {"job": job.job_id, "events": file.name, "trials": trials}
        with open(self._folder / _JOBS, "ab", buffering=0) as stream:
            stream.write(json.dumps(line).encode() + b"\n")
        return line

    def _unrecorded(
        self, recorded: Sequence[Mapping[str, Any]]
    ) -> Iterator[Mapping[str, Any]]:
        """Records the jobs of a process that was killed right after it submitted them.

        submitit gives the file of a job its number once it knows that; a job without
        this file, which was submitted right before a kill, runs no trial.
        """
        known = {event["job"] for event in recorded}
        for file in sorted(self._folder.glob(f"*{_SUBMITTED}")):
            if (job_id := file.name.removesuffix(_SUBMITTED)) not in known:
                job = self._job_of(job_id)
                own: SlurmJob = job.submission().function
                yield self._record(job, own.trials, own.events)

    def _new_file(self, chunk: Sequence[Trial]) -> Path:
        """Makes the file of events of a job, named by its first trial."""
        for count in itertools.count():
            file = self._folder / f"{chunk[0].number}.{count}.jsonl"
            with contextlib.suppress(FileExistsError):
                file.touch(exist_ok=False)
                return file
        raise AssertionError

    def _follow(self, one: _Submitted) -> None:
        """Takes the new events of a job."""
        for event, offset in read_events(one.events, one.offset):
            one.offset = offset
            if (number := event.get("start")) in one.waiting:
                self._start(one, number)
            elif "report" in event:
                self._on_reports([TrialReport(**event["report"])])
            elif "note" in event:
                self._on_note(event["note"])
            elif "retry" in event:
                self._on_retry(_outcome(event["retry"]))
            elif "outcome" in event:
                outcome = _outcome(event["outcome"])
                if one.waiting.pop(outcome.number, None) is not None:
                    self._outcomes.append(outcome)

    def _start(self, one: _Submitted, number: int) -> None:
        one.started.add(number)
        if number not in self._started:
            self._started.add(number)
            self._on_start(one.waiting[number])

    def _lose(self, one: _Submitted) -> None:
        """Submits the rest of a job that has ended again; its running trial failed."""
        if not one.waiting:
            return
        failure, error = self._loss(one.job)
        # One that has not begun lost nothing, unless the job itself never did.
        affected = one.started & one.waiting.keys() or set(one.waiting)
        for number, trial in one.waiting.items():
            if number not in affected:
                self._queue.append(trial)
                continue
            self._losses[number] += 1
            outcome = TrialOutcome(
                number=number,
                status=TrialStatus.FAILED,
                error=error,
                failure=failure,
                attempts=self._losses[number],
            )
            if is_retried(failure, outcome.attempts, self._retries):
                self._queue.append(trial)
                self._on_retry(outcome)
            else:
                if number not in self._started:
                    self._start(one, number)
                self._outcomes.append(outcome)

    def _loss(self, job: Any) -> tuple[Failure, str]:
        """Returns why a job left no outcome, and a message."""
        of = f"its job {job.job_id} ended"
        if job.paths.result_pickle.exists():
            trace = str(job.exception() or "").splitlines()
            last = next((line for line in trace if "Error: " in line), "")
            if "Job not requeued because" in last or "the job was stopped" in last:
                return Failure.PREEMPTED, f"{of}: {last.partition(': ')[2]}"
            return Failure.BUG, f"{of}: {last or 'see its log'} ({job.paths.stderr})"
        state = job.state.upper()
        failure = _STATES.get(state.partition(" ")[0], Failure.DIED)
        return failure, f"{of} without a result ({state.lower()})"

    def _job_of(self, job_id: str) -> Any:
        """A job that another process has submitted."""
        of_cluster = self._executor._executor.job_class
        return of_cluster(folder=self._executor.folder, job_id=job_id)

    def _has_ended(self, one: _Submitted) -> bool:
        if not one.is_earlier:
            return one.job.done()
        if not self._is_local:
            # Slurm forgets old jobs; submitit would wait for them.
            return one.job.done() or one.job.state == "UNKNOWN"
        # submitit knows the processes that it started itself.
        return one.job.paths.result_pickle.exists() or not _is_alive(one.job.job_id)

    def _stop(self, number: int) -> None:
        # Not in the handler: a job that is being submitted must be recorded.
        self._signal = number

    def _remaining(self) -> str:
        """Names the jobs that continue, for the user."""
        names = sorted({one.job.job_id.partition("_")[0] for one in self._jobs})
        jobs = " ".join(names)
        return (
            f"; jobs that continue: {jobs} (scancel {jobs} ends them)" if jobs else ""
        )


def _success(events: Path, number: int) -> TrialOutcome | None:
    """Returns the outcome of a trial that a job has completed, if it has."""
    for event, _ in read_events(events, 0):
        if event.get("outcome", {}).get("number") == number:
            outcome = _outcome(event["outcome"])
            return None if outcome.status is TrialStatus.FAILED else outcome
    return None


def _outcome(fields: Mapping[str, Any]) -> TrialOutcome:
    return TrialOutcome(**{**fields, "status": TrialStatus(fields["status"])})


def _is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
