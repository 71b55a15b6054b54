"""A job of Slurm that runs trials in one worker, and leaves a file of events."""

import contextlib
import dataclasses
import importlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from specflow.sweep.pool.trial import Trial, TrialOutcome
from specflow.sweep.pool.trial_pool import SweepStopped, TrialPool
from specflow.sweep.pool.worker_process import local_workers

__all__ = ["SlurmJob", "read_events"]

_GRACE_S = 60.0
"""Time in which a stopped job waits for the signal that requeues it, or ends it."""
_OF_STEP = ("SLURM_PROCID", "SLURM_STEP_")
"""Beginnings of variables by which a process knows that it is a task of several."""


@dataclasses.dataclass
class SlurmJob:
    """What submitit sends to a node, and sends again after a preemption.

    Args:
        trials: of the job; those with an outcome in the file of events are left out.
        events: file to which each start, report, failure and end is appended.
        command: starts a worker; see `WorkerProcess`.
        options: further arguments of `TrialPool`.
    """

    trials: tuple[Trial, ...]
    events: Path
    command: tuple[str, ...]
    options: dict[str, Any]

    def __getstate__(self) -> dict[str, Any]:
        names = [field.name for field in dataclasses.fields(self)]
        return {name: getattr(self, name) for name in names}

    def __call__(self) -> None:
        """Runs the trials in one worker process."""
        for name in [name for name in os.environ if name.startswith(_OF_STEP)]:
            del os.environ[name]
        ended = {one.get("outcome", {}).get("number") for one in self._events()}
        waiting = [trial for trial in self.trials if trial.number not in ended]
        self._pool = TrialPool(
            local_workers(self.command, 1),
            on_start=lambda trial: self._write({"start": trial.number}),
            on_retry=lambda failed: self._write({"retry": dataclasses.asdict(failed)}),
            on_reports=self._report,
            on_note=lambda note: self._write({"note": note}),
            **self.options,
        )
        self._end_of_trials, closed_by_end = os.pipe()
        # Not in this thread: a signal would find a message half handled, and
        # `checkpoint` wait for the next one, which comes after an answer.
        thread = threading.Thread(
            target=self._run, args=(waiting, closed_by_end), daemon=True
        )
        with self._pool:
            thread.start()
            self._runs = True
            self._wait()
        if isinstance(self._error, SweepStopped):
            time.sleep(_GRACE_S)
            raise RuntimeError("the job was stopped") from None
        if self._error is not None:
            raise self._error

    def checkpoint(self) -> Any:
        """Lets the running trial save; submitit then requeues what this returns."""
        if getattr(self, "_runs", False):
            if self._pool.stopped_by is None:  # SIGTERM may come before.
                self._pool.stop(signal.SIGTERM)
            self._wait()
        return importlib.import_module("submitit.helpers").DelayedSubmission(self)

    def _run(self, trials: list[Trial], closed_by_end: int) -> None:
        self._error: BaseException | None = None
        try:
            for trial in trials:
                self._pool.submit(trial)
            for _ in trials:
                self._end(self._pool.next_outcome())
        except BaseException as error:
            self._error = error
        finally:
            os.close(closed_by_end)

    def _wait(self) -> None:
        """Waits for the end of the trials, in a handler of a signal too."""
        os.read(self._end_of_trials, 1)

    def _report(self, reports: Any) -> tuple[int, ...]:
        for report in reports:
            self._write({"report": dataclasses.asdict(report)})
        return ()

    def _end(self, outcome: TrialOutcome) -> None:
        self._write({"outcome": dataclasses.asdict(outcome)})

    def _write(self, event: dict[str, Any]) -> None:
        with open(self.events, "ab", buffering=0) as file:
            file.write(json.dumps(event).encode() + b"\n")

    def _events(self) -> list[dict[str, Any]]:
        return [event for event, _ in read_events(self.events, 0)]


def read_events(file: Path, offset: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Yields each event of a job behind an offset, and the offset behind it.

    Args:
        file: of the job's events; there may be none yet.
        offset: in bytes.
    """
    try:
        with open(file, "rb") as stream:
            stream.seek(offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return  # It is being written.
                offset += len(line)
                # A line that was cut when a job died has the next one behind it.
                with contextlib.suppress(ValueError):
                    yield json.loads(line), offset
    except FileNotFoundError:
        return
