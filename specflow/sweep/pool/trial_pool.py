"""A pool of worker processes that run trials; its own process needs no JAX."""

import collections
import contextlib
import os
import select
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from specflow.runtime.signal_handlers import signal_handlers
from specflow.sweep.pool.trial import Trial, TrialOutcome, TrialReport, TrialStatus
from specflow.sweep.pool.trial_failures import Failure, is_retried
from specflow.sweep.pool.worker_process import Worker

__all__ = ["SweepStopped", "TrialPool"]

_MOST_DECLINES = 2
"""How often a trial may ask for a new process before that is an error."""


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
    """Runs trials in worker processes, each of which runs one after another.

    A worker imports, loads data and compiles once for all of its trials. If it dies,
    its running trial alone starts again, from its checkpoint, in another worker; see
    `is_retried`. The first SIGINT or SIGTERM lets the running trials save their state;
    a second one ends them at once.

    Args:
        start: starts the worker of a number; one of a number runs at a time.
        workers: number of worker processes.
        retries: how often a trial may start again after a failure that may pass.
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
    """

    def __init__(
        self,
        start: Callable[[int], Worker],
        *,
        workers: int = 1,
        retries: int = 0,
        config_dirs: Sequence[str | Path] = (),
        started_in: str = "",
        logs: Path | None = None,
        first_worker: Worker | None = None,
        on_start: Callable[[Trial], None] = lambda trial: None,
        on_retry: Callable[[TrialOutcome], None] = lambda outcome: None,
        on_reports: Callable[[Sequence[TrialReport]], Collection[int]] = lambda _: (),
    ):
        self.slots = workers
        """Number of trials that run at once."""
        self._start, self._logs, self._retries = start, logs, retries
        self._on_start, self._on_retry = on_start, on_retry
        self._on_reports = on_reports
        self._common = {
            "config_dirs": [os.path.abspath(folder) for folder in config_dirs],
            "started_in": started_in or os.getcwd(),
        }
        self._queue: collections.deque[Trial] = collections.deque()
        self._declines: collections.Counter[int] = collections.Counter()
        self._attempts: collections.Counter[int] = collections.Counter()
        self._workers: list[Worker | None] = [None] * workers
        if first_worker is not None:
            if workers == 1:
                self._workers[0] = first_worker
            else:
                first_worker.close(kill=True)
        self._signal: int | None = None
        self._unsent: collections.deque[int] = collections.deque()
        """Signals that the workers have not got yet."""
        self._handlers = contextlib.ExitStack()
        self._wake: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        # The first worker imports JAX while the caller prepares the first trial.
        self._workers[0] = self._workers[0] or self._start(0)
        self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._handlers.enter_context(signal_handlers(self.stop))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._handlers.close()
        for worker in self._workers:
            if worker is not None:
                self._close(worker, kill=worker.trial is not None)
        if self._wake is not None:
            for descriptor in self._wake:
                os.close(descriptor)
            self._wake = None

    def submit(self, trial: Trial) -> None:
        """Queues a trial; it runs when a worker is free and `next_outcome` waits."""
        self._queue.append(trial)

    def stop(self, number: int) -> None:
        """Passes a signal on to the workers, which save; stops the sweep after them.

        `next_outcome` does, as a worker may be on another machine; this may be called
        by a handler of signals.

        Args:
            number: SIGINT or SIGTERM.
        """
        self._signal = self._signal or number
        self._unsent.append(number)
        if self._wake is not None:
            os.write(self._wake[1], b".")

    def next_outcome(self) -> TrialOutcome:
        """Runs queued trials until the next one ends.

        Returns:
            How it ended; trials end in any order.

        Raises:
            SweepStopped: a signal arrived, and the running trials have saved and ended.
            LookupError: no trial is queued or running.
        """
        while True:
            self._dispatch()
            running = [one for one in self._workers if one and one.trial]
            while self._unsent:
                number = self._unsent.popleft()
                for worker in running:
                    worker.signal(number)
            if self._signal is not None and not running:
                raise SweepStopped(self._signal)
            # One that starts says when it is ready, or ends.
            starting = [one for one in self._workers if one and not one.is_ready]
            if not running and not starting:
                raise LookupError("no trial is queued or running")
            for worker in self._readable([*running, *starting]):
                if (outcome := self._receive(worker)) is not None:
                    return outcome

    def _dispatch(self) -> None:
        """Sends queued trials to idle workers, starts some if needed, or ends them."""
        if self._signal is not None:
            return
        for index, worker in enumerate(self._workers):
            starting = sum(1 for one in self._workers if one and not one.is_ready)
            if worker is None and len(self._queue) > starting + self._idle():
                self._workers[index] = self._start(index)
        for worker in self._workers:
            if worker is None or worker.trial is not None:
                continue
            if not self._queue:
                self._close(worker)  # Its devices are free for others.
            elif worker.is_ready:
                self._send(worker, self._queue.popleft())

    def _idle(self) -> int:
        """Number of workers that wait for a trial."""
        return sum(1 for one in self._workers if one and one.is_ready and not one.trial)

    def _send(self, worker: Worker, trial: Trial) -> None:
        """Sends a trial to an idle worker."""
        number = trial.number
        worker.trial, worker.started_s = trial, time.monotonic()
        if not self._attempts[number] and number not in self._declines:
            self._on_start(trial)
        self._attempts[number] += 1
        # A worker that has died is noticed when it is read from.
        worker.send(
            {
                "number": number,
                "overrides": trial.overrides,
                "log": self._logs and str(self._logs / f"{number}.log"),
                **self._common,
            }
        )

    def _close(self, worker: Worker, *, kill: bool = False) -> str:
        """Ends a worker; another one may take its place."""
        self._workers[self._workers.index(worker)] = None
        return worker.close(kill=kill)

    def _readable(self, workers: Sequence[Worker]) -> Iterator[Worker]:
        """Waits for a message or a signal; yields the workers that have one."""
        links = {worker.link.fileno(): worker for worker in workers}
        wake = [] if self._wake is None else [self._wake[0]]
        ready, _, _ = select.select([*links, *wake], [], [])
        for descriptor in ready:
            if descriptor in links:
                yield links[descriptor]
            else:
                with contextlib.suppress(BlockingIOError):
                    os.read(descriptor, 64)

    def _receive(self, worker: Worker) -> TrialOutcome | None:
        """Handles a message; returns an outcome if a trial has ended."""
        message, trial = worker.link.receive(), worker.trial
        if message is None:
            return self._died(worker)
        if "ready" in message:
            worker.is_ready = True
            return None
        assert trial is not None
        if "report" in message:
            report = TrialReport(number=trial.number, **message["report"])
            pruned = self._on_reports([report])
            worker.send({"prune": trial.number in pruned})
            return None
        if "decline" in message:
            return self._declined(worker, trial, message["decline"])
        worker.trial = None
        if message.get("stopped"):
            if self._signal is None:  # Its process alone got a signal.
                return self._failed(
                    worker, trial, Failure.PREEMPTED, "its process was stopped"
                )
            return None
        outcome: dict[str, Any] = message["outcome"]
        status = TrialStatus(outcome.pop("status"))
        if status is TrialStatus.FAILED:
            if outcome["failure"] in (Failure.OUT_OF_MEMORY, Failure.MACHINE):
                self._close(worker)
            return self._failed(worker, trial, **outcome)
        return self._outcome(worker, trial, status=status, **outcome)

    def _outcome(self, worker: Worker, trial: Trial, **fields: Any) -> TrialOutcome:
        return TrialOutcome(
            number=trial.number,
            attempts=max(1, self._attempts[trial.number]),
            seconds=time.monotonic() - worker.started_s if worker.started_s else 0.0,
            **fields,
        )

    def _failed(
        self, worker: Worker, trial: Trial, failure: str, error: str, **fields: Any
    ) -> TrialOutcome | None:
        """Returns the outcome of a trial that failed; None if it runs again."""
        outcome = self._outcome(
            worker,
            trial,
            status=TrialStatus.FAILED,
            failure=failure,
            error=error,
            **fields,
        )
        stops = self._signal is not None
        if stops or not is_retried(failure, outcome.attempts, self._retries):
            return outcome
        self._queue.appendleft(trial)
        self._on_retry(outcome)
        return None

    def _died(self, worker: Worker) -> TrialOutcome | None:
        """Replaces a worker that has ended; only its running trial is affected."""
        trial, how = worker.trial, self._close(worker, kill=True)
        if self._signal is not None or not (trial or self._queue):
            return None
        if trial is None:  # It never started: the trial that needs it has failed.
            trial = self._queue.popleft()
            self._attempts[trial.number] += 1
        return self._failed(
            worker, trial, Failure.DIED, f"its process ended with {how}"
        )

    def _declined(
        self, worker: Worker, trial: Trial, reason: str
    ) -> TrialOutcome | None:
        """Gives a trial that needs a new process one, ahead of the others."""
        self._close(worker)
        self._declines[trial.number] += 1
        self._attempts[trial.number] -= 1
        if self._declines[trial.number] < _MOST_DECLINES:
            self._queue.appendleft(trial)
            return None
        return self._failed(worker, trial, Failure.CONFIG, reason)
