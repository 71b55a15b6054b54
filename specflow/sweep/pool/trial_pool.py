"""A pool of worker processes that run trials; its own process needs no JAX."""

import collections
import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from specflow.runtime.devices_of_workers import worker_environments
from specflow.sweep.pool.trial import Trial, TrialOutcome, TrialReport, TrialStatus
from specflow.sweep.pool.worker_process import WorkerProcess

__all__ = ["SweepStopped", "TrialPool"]

_MOST_DECLINES = 2
"""How often a trial may ask for a new process before that is an error."""


class SweepStopped(Exception):
    """A sweep was stopped by a signal; its running trials have saved their state.

    Args:
        signal: number of the signal.
        message: for the user.
    """

    def __init__(self, signal: int, message: str = "the sweep was stopped"):
        self.signal, self.exit_code = signal, 128 + signal
        super().__init__(message)


class TrialPool:
    """Runs trials in worker processes, each of which runs one after another.

    A worker imports, loads data and compiles once for all of its trials. If it dies,
    only the trial that it was running is lost, and another worker takes its place. The
    first SIGINT or SIGTERM lets the running trials save their state; a second one ends
    them at once.

    Args:
        command: starts a worker; see `WorkerProcess`.
        workers: number of worker processes. They divide the cores and GPUs.
        config_dirs: the user's own config folders.
        started_in: folder from which relative paths are resolved.
        logs: folder of a file for the output of each trial; None: the output of this
            process.
        first_worker: a worker that was started ahead, with all devices; it is used if
            there is one worker.
        on_start: called with each trial that is about to run.
        on_reports: called with the reports of a step; returns the numbers of the trials
            to prune. The trials wait for it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        workers: int = 1,
        config_dirs: Sequence[str | Path] = (),
        started_in: str = "",
        logs: Path | None = None,
        first_worker: WorkerProcess | None = None,
        on_start: Callable[[Trial], None] = lambda trial: None,
        on_reports: Callable[[Sequence[TrialReport]], Collection[int]] = lambda _: (),
    ):
        self.slots = workers
        """Number of trials that run at once."""
        self._command, self._logs = tuple(command), logs
        self._on_start, self._on_reports = on_start, on_reports
        self._environments = worker_environments(workers)
        self._common = {
            "config_dirs": [os.path.abspath(folder) for folder in config_dirs],
            "started_in": started_in or os.getcwd(),
        }
        self._queue: collections.deque[Trial] = collections.deque()
        self._declines: collections.Counter[int] = collections.Counter()
        self._workers: list[WorkerProcess | None] = [None] * workers
        if first_worker is not None:
            if workers == 1:
                self._workers[0] = first_worker
            else:
                first_worker.close(kill=True)
        self._signal: int | None = None
        self._former: dict[int, Any] = {}
        self._wake: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        # The first worker imports JAX while the caller prepares the first trial.
        self._worker(0)
        if threading.current_thread() is threading.main_thread():
            self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        for index, worker in enumerate(self._workers):
            if worker is not None:
                worker.close(kill=worker.trial is not None)
                self._workers[index] = None
        if self._wake is not None:
            for descriptor in self._wake:
                os.close(descriptor)

    def submit(self, trial: Trial) -> None:
        """Queues a trial; it runs when a worker is free and `next_outcome` waits."""
        self._queue.append(trial)

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
            if self._signal is not None and not running:
                raise SweepStopped(self._signal)
            if not running:
                raise LookupError("no trial is queued or running")
            for worker in self._readable(running):
                if (outcome := self._receive(worker)) is not None:
                    return outcome

    def _dispatch(self) -> None:
        """Sends queued trials to idle workers, which are started as needed."""
        for index in range(len(self._workers)):
            if not self._queue or self._signal is not None:
                return
            worker = self._worker(index)
            if worker.trial is not None:
                continue
            trial = self._queue.popleft()
            log = self._logs and str(self._logs / f"{trial.number}.log")
            worker.trial, worker.started_s = trial, time.monotonic()
            if trial.number not in self._declines:
                self._on_start(trial)
            # A worker that has died is noticed when it is read from.
            worker.send(
                {
                    "number": trial.number,
                    "overrides": trial.overrides,
                    "log": log,
                    **self._common,
                }
            )

    def _worker(self, index: int) -> WorkerProcess:
        if (worker := self._workers[index]) is None:
            worker = WorkerProcess(self._command, self._environments[index])
            self._workers[index] = worker
        return worker

    def _readable(self, running: Sequence[WorkerProcess]) -> Iterator[WorkerProcess]:
        """Waits for a message or a signal; yields the workers that have one."""
        links = {worker.link.fileno(): worker for worker in running}
        wake = [] if self._wake is None else [self._wake[0]]
        ready, _, _ = select.select([*links, *wake], [], [])
        for descriptor in ready:
            if descriptor in links:
                yield links[descriptor]
            else:
                with contextlib.suppress(BlockingIOError):
                    os.read(descriptor, 64)

    def _receive(self, worker: WorkerProcess) -> TrialOutcome | None:
        """Handles a message; returns an outcome if a trial has ended."""
        trial = worker.trial
        assert trial is not None
        message = worker.link.receive()
        if message is None:
            return self._died(worker, trial)
        if "report" in message:
            report = TrialReport(number=trial.number, **message["report"])
            pruned = self._on_reports([report])
            worker.send({"prune": trial.number in pruned})
            return None
        if "decline" in message:
            return self._declined(worker, trial, message["decline"])
        worker.trial = None
        if message.get("stopped"):
            return None
        seconds = time.monotonic() - worker.started_s
        outcome: dict[str, Any] = message["outcome"]
        status = TrialStatus(outcome.pop("status"))
        return TrialOutcome(
            number=trial.number, status=status, seconds=seconds, **outcome
        )

    def _died(self, worker: WorkerProcess, trial: Trial) -> TrialOutcome | None:
        """Replaces a worker that has ended; only its running trial failed."""
        status = worker.close(kill=True)
        self._workers[self._workers.index(worker)] = None
        if self._signal is not None:
            return None
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        if -status == signal.SIGKILL:
            how += ", as when memory runs out"
        return TrialOutcome(
            number=trial.number,
            status=TrialStatus.FAILED,
            error=f"its process ended with {how}",
            failure="died",
            seconds=time.monotonic() - worker.started_s,
        )

    def _declined(
        self, worker: WorkerProcess, trial: Trial, reason: str
    ) -> TrialOutcome | None:
        """Gives a trial that needs a new process one, ahead of the others."""
        worker.close()
        self._workers[self._workers.index(worker)] = None
        self._declines[trial.number] += 1
        if self._declines[trial.number] < _MOST_DECLINES:
            self._queue.appendleft(trial)
            return None
        return TrialOutcome(
            number=trial.number,
            status=TrialStatus.FAILED,
            error=reason,
            failure="config",
        )

    def _handle(self, number: int, _: FrameType | None) -> None:
        """Passes a signal on to the workers, which save; stops the sweep after them."""
        self._signal = self._signal or number
        if self._wake is not None:
            os.write(self._wake[1], b".")
        for worker in self._workers:
            if worker is not None and worker.trial is not None:
                worker.signal(number)
