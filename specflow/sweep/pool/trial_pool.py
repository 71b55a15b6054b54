"""A pool of worker processes that run trials; its own process needs no JAX."""

import collections
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from specflow.sweep.pool.stop_signals import StopSignals
from specflow.sweep.pool.trial import Trial, TrialOutcome, TrialReport, TrialStatus
from specflow.sweep.pool.trial_attempts import Attempts
from specflow.sweep.pool.trial_failures import Failure
from specflow.sweep.pool.worker_process import RunningTrial, Worker

__all__ = ["SweepStopped", "TrialPool"]


class SweepStopped(Exception):
    """A sweep was stopped by a signal; its running trials have saved their state.

    Args:
        signal: number of the signal.
        message: for the user.
        note: end of the message, if something continues.
    """

    def __init__(
        self, signal: int, message: str = "the sweep was stopped", *, note: str = ""
    ):
        self.signal, self.exit_code, self.note = signal, 128 + signal, note
        super().__init__(message)


class TrialPool:
    """Runs trials in worker processes, each of which runs one, or a pack, at a time.

    A worker imports, loads data and compiles once for all of its trials. If it dies,
    its running trial alone starts again, from its checkpoint, in another worker; see
    `is_retried`. Those of a pack start again one after another. The first SIGINT or
    SIGTERM lets the running trials save their state; a second one ends them at once.

    Args:
        start: starts the worker of a number; one of a number runs at a time.
        workers: number of worker processes.
        retries: how often a trial may start again after a failure that may pass.
        pack: how the trials of a worker share calls; `serial`: they do not.
        trials_per_pack: number of trials that a worker runs at once, if they do.
        config_dirs: the user's own config folders.
        started_in: folder from which relative paths are resolved.
        logs: folder of a file for the output of each trial; None: the output of this
            process.
        first_worker: a worker that was started ahead, with all devices; it is used if
            there is one worker.
        on_start: called with each trial that is about to run, once.
        on_retry: called with the failure of a trial that runs again.
        on_reports: called with the reports of a step; returns the numbers of the trials
            to prune. The trials wait for it.
        on_note: called with what a user should know about the workers.
    """

    def __init__(
        self,
        start: Callable[[int], Worker],
        *,
        workers: int = 1,
        retries: int = 0,
        pack: str = "serial",
        trials_per_pack: int = 1,
        config_dirs: Sequence[str | Path] = (),
        started_in: str = "",
        logs: Path | None = None,
        first_worker: Worker | None = None,
        on_start: Callable[[Trial], None] = lambda trial: None,
        on_retry: Callable[[TrialOutcome], None] = lambda outcome: None,
        on_reports: Callable[[Sequence[TrialReport]], Collection[int]] = lambda _: (),
        on_note: Callable[[str], None] = lambda note: print(note, file=sys.stderr),
    ):
        self._pack = None if pack == "serial" else pack
        self._per_worker = 1 if self._pack is None else trials_per_pack
        self.slots = workers * self._per_worker
        """Number of trials that run at once."""
        self._start, self._logs = start, logs
        self._on_start, self._on_retry = on_start, on_retry
        self._on_reports, self._on_note = on_reports, on_note
        folders = [os.path.abspath(folder) for folder in config_dirs]
        self._common = {"config_dirs": folders, "started_in": started_in or os.getcwd()}
        self._queue: collections.deque[Trial] = collections.deque()
        self._attempts = Attempts(retries)
        self._ended: collections.deque[TrialOutcome] = collections.deque()
        """Outcomes that `next_outcome` has not returned yet."""
        self._ahead: Trial | None = None
        """The next trial of the queue, while the only worker prepares it."""
        if first_worker is not None and workers > 1:
            first_worker.close(kill=True)
        self._workers: list[Worker | None] = [None] * workers
        self._retired: list[Worker] = []
        """Workers that get no further trial."""
        if workers == 1:
            self._workers[0] = first_worker
        self.stopped_by: int | None = None  # The first signal that arrived.
        self._unsent: collections.deque[int] = collections.deque()
        """Signals that the workers have not got yet."""
        self._signals = StopSignals(self.stop)

    def __enter__(self) -> Self:
        # The first worker imports JAX while the caller prepares the first trial.
        self._workers[0] = self._workers[0] or self._start(0)
        self._signals.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._signals.close()
        for worker in self._workers:
            if worker is not None:
                self._close(worker, kill=bool(worker.trials))

    def submit(self, trial: Trial) -> None:
        """Queues a trial; it runs when a worker is free and `next_outcome` waits."""
        self._queue.append(trial)

    def stop(self, number: int) -> None:
        """Lets `next_outcome` interrupt the workers, which save; for a handler too.

        They get SIGINT: systemd sends SIGTERM to all, which must not be their second.

        Args:
            number: SIGINT or SIGTERM.
        """
        self.stopped_by = self.stopped_by or number
        self._unsent.append(signal.SIGINT)
        self._signals.wake()

    def next_outcome(self) -> TrialOutcome:
        """Runs queued trials until the next one ends.

        Returns:
            How it ended; trials end in any order.

        Raises:
            SweepStopped: a signal arrived, and the running trials have saved and ended.
            LookupError: no trial is queued or running.
        """
        while not self._ended:
            self._dispatch()
            running = [one for one in self._workers if one and one.trials]
            while self._unsent:
                number = self._unsent.popleft()
                for worker in running:
                    worker.signal(number)
            if self.stopped_by is not None and not running:
                raise SweepStopped(self.stopped_by)
            # One that starts says when it is ready, or ends.
            starting = [one for one in self._workers if one and not one.is_ready]
            if not running and not starting:
                raise LookupError("no trial is queued or running")
            for worker in self._signals.wait([*running, *starting]):
                self._receive(worker)
        return self._ended.popleft()

    def _dispatch(self) -> None:
        """Sends queued trials to workers, starts some if needed, or ends them."""
        if self.stopped_by is not None:
            return
        for index, worker in enumerate(self._workers):
            # Those that start, and those that wait for a trial.
            idle = sum(1 for one in self._workers if one and not one.trials)
            if worker is None and len(self._queue) > idle:
                self._workers[index] = self._start(index)
        while self._queue and (worker := self._worker_for(self._queue[0])):
            self._send(worker, self._queue.popleft())
        for worker in self._workers:
            if worker and not worker.trials and not self._queue:
                self._close(worker)  # Its devices are free for others.

    def _worker_for(self, trial: Trial) -> Worker | None:
        free = [one for one in self._workers if one and one not in self._retired]
        return _with_room(free, trial.number, self._attempts.alone, self._per_worker)

    def _send(self, worker: Worker, trial: Trial) -> None:
        """Sends a trial to a worker."""
        number = trial.number
        worker.trials[number] = RunningTrial(trial, time.monotonic())
        if self._attempts.begin(number):
            self._on_start(trial)
        # A worker that has died is noticed when it is read from.
        pack = None if number in self._attempts.alone else self._pack
        worker.send(_message(trial, self._logs, pack) | self._common)

    def _send_ahead(self, worker: Worker) -> None:
        """Lets the only worker prepare the next trial, which has not started yet."""
        is_only = len(self._workers) == 1 and worker not in self._retired
        is_free = not (self._ahead or self.stopped_by or self._pack)
        if is_only and is_free and self._queue:
            self._ahead = self._queue.popleft()
            message = _message(self._ahead, self._logs, None) | self._common
            worker.send(message | {"ahead": True})

    def _take_back(self) -> None:
        """Puts the trial that is prepared at the head of the queue again."""
        self._queue.extendleft([] if self._ahead is None else [self._ahead])
        self._ahead = None

    def _close(self, worker: Worker, *, kill: bool = False) -> str:
        """Ends a worker; another one may take its place."""
        self._take_back()
        self._workers[self._workers.index(worker)] = None
        if worker in self._retired:
            self._retired.remove(worker)
        return worker.close(kill=kill)

    def _retire(self, worker: Worker) -> None:
        """Ends a worker once its trials have ended."""
        if not worker.trials:
            self._close(worker)
        elif worker not in self._retired:
            self._retired.append(worker)

    def _receive(self, worker: Worker) -> None:
        """Handles a message of a worker."""
        message = worker.link.receive()
        if message is None:
            self._died(worker)
        elif "ready" in message:
            worker.is_ready = True
        elif "note" in message:
            self._on_note(message["note"])
        elif "asks" in message:
            self._send_ahead(worker)
        elif "report" in message:
            report = TrialReport(number=message["number"], **message["report"])
            pruned = report.number in self._on_reports([report])
            worker.send({"prune": pruned, "question": message["question"]})
        else:
            self._take_back()
            running, shares = worker.trials.pop(message["number"]), bool(worker.trials)
            self._trial_ended(worker, running, message, shares=shares)
            if worker in self._retired:
                self._retire(worker)

    def _trial_ended(
        self,
        worker: Worker,
        running: RunningTrial,
        message: dict[str, Any],
        *,
        shares: bool,
    ) -> None:
        """Handles the message about the end of a trial.

        Args:
            worker: that ran it.
            running: the trial.
            message: of the worker.
            shares: whether others still run in the worker.
        """
        if "decline" in message:
            self._declined(worker, running, message["decline"])
            return
        if "alone" in message:
            self._attempts.send_back(running.trial.number)
            self._queue.appendleft(running.trial)
            return
        if message.get("stopped"):
            if self.stopped_by is None:  # Its process alone got a signal.
                self._failed(running, Failure.PREEMPTED, "its process was stopped")
            return
        outcome: dict[str, Any] = message["outcome"]
        status = TrialStatus(outcome.pop("status"))
        if status is not TrialStatus.FAILED:
            count = self._attempts.count(running.trial.number)
            self._ended.append(_outcome(running, count, status=status, **outcome))
            return
        is_of_machine = outcome["failure"] in (Failure.OUT_OF_MEMORY, Failure.MACHINE)
        if is_of_machine:
            self._retire(worker)
        was_packed = message.get("in_pack") or (is_of_machine and shares)
        self._failed(running, **outcome, was_packed=bool(was_packed))

    def _failed(
        self,
        running: RunningTrial,
        failure: str,
        error: str,
        *,
        was_packed: bool = False,
        **fields: Any,
    ) -> None:
        """Takes the failure of a trial, which runs again if that may help.

        Args:
            running: the trial.
            failure: its kind.
            error: the message.
            was_packed: whether others ran with it, which may be the cause.
            fields: further ones of the outcome.
        """
        count = self._attempts.count(running.trial.number)
        fields |= {"status": TrialStatus.FAILED, "failure": failure, "error": error}
        outcome = _outcome(running, count, **fields)
        if not self._attempts.again(outcome, was_packed):
            self._ended.append(outcome)
        elif self.stopped_by is None:
            self._queue.appendleft(running.trial)
            self._on_retry(outcome)
        # Else it starts again when the sweep resumes, as those that have saved.

    def _died(self, worker: Worker) -> None:
        """Replaces a worker that has ended; only its running trials are affected."""
        running, how = list(worker.trials.values()), self._close(worker, kill=True)
        if self.stopped_by is not None:
            return
        if not running and self._queue:
            # It never started: the trial that needs it has failed.
            trial = self._queue.popleft()
            self._attempts.begin(trial.number)
            running = [RunningTrial(trial, 0.0)]
        for one in reversed(running):
            error, was_packed = f"its process ended with {how}", len(running) > 1
            self._failed(one, Failure.DIED, error, was_packed=was_packed)

    def _declined(self, worker: Worker, running: RunningTrial, reason: str) -> None:
        """Gives a trial that needs a new process one, ahead of the others."""
        trial = running.trial
        self._retire(worker)
        if self._attempts.decline(trial.number):
            self._queue.appendleft(trial)
        else:
            self._failed(running, Failure.CONFIG, reason)


def _message(trial: Trial, logs: Path | None, pack: str | None) -> dict[str, Any]:
    """What a worker is sent of a trial."""
    number = trial.number
    log = logs and str(logs / f"{number}.log")
    return {"number": number, "overrides": trial.overrides, "log": log, "pack": pack}


def _with_room(
    workers: Sequence[Worker], number: int, alone: Collection[int], per_worker: int
) -> Worker | None:
    """Returns the worker with the fewest trials that takes one more.

    Args:
        workers: those that get trials.
        number: of the trial.
        alone: numbers of trials that run in no pack.
        per_worker: number of trials of a pack.
    """
    most = 1 if number in alone else per_worker
    free = [
        one
        for one in workers
        if one.is_ready and len(one.trials) < most
        if not any(running in alone for running in one.trials)
    ]
    return min(free, key=lambda worker: len(worker.trials), default=None)


def _outcome(running: RunningTrial, attempts: int, **fields: Any) -> TrialOutcome:
    seconds = time.monotonic() - running.started_s if running.started_s else 0.0
    number = running.trial.number
    return TrialOutcome(number=number, attempts=attempts, seconds=seconds, **fields)
