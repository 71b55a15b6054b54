"""The reporter that feeds a tracker from a thread of its own."""

import contextlib
import math
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from specflow.diagnostics.errors import Diagnostic, OutputError, SpecflowWarning
from specflow.output.tracking.metric_names import MetricNames
from specflow.output.tracking.tracked_run import MetricRow, TrackedRun
from specflow.output.tracking.tracker_client import RunStatus, TrackerClient
from specflow.output.tracking.tracker_run_ids import TRACKERS, run_id, set_run_id
from specflow.runtime.brief_turns import brief_turns
from specflow.runtime.secret_text import without_secrets

__all__ = ["Tracker"]

_ROWS_PER_CALL = 1000
_LONGEST_PAUSE_S = 60.0
_LAST_ATTEMPTS = 3


class Tracker:
    """Reporter that sends rows to a tracker, and never holds up or ends training.

    `write` puts a row in a queue; a thread sends what has queued every `interval_s`
    seconds, in one call, and at once when a checkpoint is saved, the run ends, or half
    of the queue is full. So what a tracker shows is at most that, and the time of a
    call, behind. While the tracker does not respond, the thread tries again after 1,
    2, 4, ... and at most 60 seconds, with one warning. A full queue drops its oldest
    rows: they are in `metrics.jsonl`, from which the thread sends every row that the
    tracker does not have whenever it connects. So a run that was killed, or whose
    tracker was away, is complete there once both are back, and no row is there twice.

    Its state is the id of the run at the tracker: in `trackers.json` of the run
    directory, and in each checkpoint.

    Args:
        client: calls the library of the tracker.
        run: the run.
        queue_rows: largest number of rows that wait in memory.
        wait_s: seconds that `finish` waits for rows and files to be sent.
        pause_s: seconds before the second attempt.
        interval_s: seconds between two calls that send rows: one for many takes less
            than many for one each.
    """

    def __init__(
        self,
        client: TrackerClient,
        run: TrackedRun,
        *,
        queue_rows: int = 10_000,
        wait_s: float = 60.0,
        pause_s: float = 1.0,
        interval_s: float = 10.0,
    ):
        self.path: Path = run.directory / TRACKERS
        self._client, self._run = client, run
        self._wait_s, self._pause_s = wait_s, pause_s
        self._interval_s = interval_s
        self._names = MetricNames(client.refused, client.longest)
        self._named: set[str] = set()
        self._run_id = run_id(run.directory, client.name)
        # Shared with the thread, under the condition's lock.
        self._changed = threading.Condition()
        self._queue: deque[MetricRow] = deque(maxlen=queue_rows)
        self._has_dropped = False
        self._is_due = False
        """Whether the next call does not wait for the interval."""
        self._status: RunStatus | None = None
        self._outcome: bool | None = None
        """Whether all was sent; None: the thread is not done."""
        self._failures = 0
        """Attempts in a row that have failed."""
        # Of the thread alone.
        self._thread: threading.Thread | None = None
        self._batch: list[MetricRow] = []
        """Rows of the call in flight, or of one that failed."""
        self._is_connected = False
        self._recorded: set[tuple[str, int]] = set()
        """Rows that the tracker had when it was connected, and this process may make
        once more."""
        self._has_warned = False

    @property
    def name(self) -> str:
        """Name of the tracker."""
        return self._client.name

    def write(self, step: int, split: str, metrics: Mapping[str, Any]) -> None:
        """Queues the scalars of a row; waits for those that are still computed."""
        row = self._row(step, split, metrics)
        with self._changed:
            if len(self._queue) == self._queue.maxlen:
                self._has_dropped = True
            self._queue.append(row)
            self._changed.notify_all()
        self._begin()

    def flush(self) -> None:
        """Lets the thread send what has queued now; does not wait for it."""
        with self._changed:
            self._is_due = True
            self._changed.notify_all()

    def close(self) -> None:
        """Does nothing: `finish` ends the thread, once the files are written."""

    def finish(self, status: RunStatus) -> None:
        """Sends what is left, and the files of the run; waits `wait_s` at most.

        Args:
            status: how the process ended.
        """
        if self._thread is None and status != "finished":
            return  # Nothing was reported in this process.
        with self._changed:
            self._status = status
            self._changed.notify_all()
        self._begin()
        deadline_s = time.monotonic() + self._wait_s
        with self._changed:
            while self._outcome is None:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not self._changed.wait(left_s):
                    break
        if not self._outcome:
            hint = f"Later, specflow report sync run={self._run.directory} sends them."
            self._warn("has not received all rows and files of this run", hint)

    def sync(self) -> int:
        """Sends the rows and files that the tracker does not have, in this thread.

        Returns:
            Number of rows sent.

        Raises:
            OutputError: the tracker does not respond.
        """
        try:
            sent = self._connect()
            self._finish("stopped" if self._run.result is None else "finished")
        except Exception as error:
            hint = "The same command sends the rest later."
            raise OutputError(self._no_response(error, hint)) from error
        finally:
            with contextlib.suppress(Exception):
                self._client.close()
        return sent

    def state(self, step: int) -> str | None:
        """Returns the id of the run at the tracker; None until it has one."""
        return self._run_id

    def restore(self, value: str) -> None:
        """Takes the id of a checkpoint, if the run directory has none."""
        self._run_id = self._run_id or str(value)

    def _begin(self) -> None:
        if self._thread is None:
            # A process does not wait for it at its end: finish has a limit.
            self._thread = threading.Thread(
                target=self._send_all, name=f"specflow-{self.name}", daemon=True
            )
            self._thread.start()

    def _send_all(self) -> None:
        """Runs in the thread: sends until the run has finished."""
        attempts_left = _LAST_ATTEMPTS
        while self._outcome is None:
            with self._changed:
                while not self._queue and not self._batch and self._status is None:
                    self._changed.wait()
                status = self._status
                self._is_due = False
                if status is not None and self._failures:
                    attempts_left = min(attempts_left, 1)
            try:
                with brief_turns():
                    self._send()
                    if status is not None:
                        self._finish(status)
                if status is not None:
                    self._end(True)
                self._failures = 0
                self._rest()
            except Exception as error:
                attempts_left -= status is not None
                self._note_failure(error)
                if not attempts_left:
                    self._end(False)
                else:
                    self._pause(status)
        with contextlib.suppress(Exception):
            self._client.close()

    def _end(self, outcome: bool) -> None:
        with self._changed:
            self._outcome = outcome
            self._changed.notify_all()

    def _send(self) -> None:
        """Sends the queue until it is empty."""
        while True:
            if self._has_dropped or not self._is_connected:
                self._connect()
            with self._changed:
                while self._queue and len(self._batch) < _ROWS_PER_CALL:
                    self._batch.append(self._queue.popleft())
            if not self._batch:
                return
            self._log(self._batch)
            self._batch = []

    def _connect(self) -> int:
        """Opens the run at the tracker, and sends what it lacks of the file."""
        self._is_connected = False
        self._run_id = self._client.start(self._run, self._run_id)
        set_run_id(self._run.directory, self.name, self._run_id)
        self._recorded = set(self._client.recorded())
        with self._changed:
            self._has_dropped = False
            waiting = {(row.split, row.step) for row in (*self._batch, *self._queue)}
        # Those that wait have the numbers that are not finite, which the file has lost.
        rows = [row for row in self._rows_of_file() if _key(row) not in waiting]
        sent = 0
        for start in range(0, len(rows), _ROWS_PER_CALL):
            sent += self._log(rows[start : start + _ROWS_PER_CALL])
        # A row in the file that does not wait yet may have been sent now.
        self._recorded |= {_key(row) for row in rows}
        least = self._run.resumed_at
        self._recorded = {key for key in self._recorded if key[1] >= least}
        self._is_connected = True
        return sent

    def _log(self, rows: Sequence[MetricRow]) -> int:
        new = [row for row in rows if _key(row) not in self._recorded]
        if new:
            self._client.log(new)
            self._note_names()
        return len(new)

    def _finish(self, status: RunStatus) -> None:
        """Sends the times and the files of the run."""
        self._log([*self._rows_of_result()])
        self._client.finish(self._run, status)

    def _rows_of_file(self) -> Iterator[MetricRow]:
        for row in self._run.rows():
            step, split = row.pop("step"), str(row.pop("split", ""))
            yield self._row(step, split, row)

    def _rows_of_result(self) -> Iterator[MetricRow]:
        """Goodput and times of a complete run, as metrics of its last step."""
        result = self._run.result or {}
        efficiency = result.get("efficiency") or {}
        goodput = dict(efficiency.get("shares") or {})
        if efficiency.get("mfu") is not None:
            goodput["mfu"] = efficiency["mfu"]
        for name, metrics in (("goodput", goodput), ("timing", result.get("timing"))):
            if metrics:
                yield self._row(result["step"], name, metrics)

    def _row(self, step: int, split: str, metrics: Mapping[str, Any]) -> MetricRow:
        scalars = {
            self._names.accepted(f"{split}/{name}"): number
            for name, value in metrics.items()
            if (number := _scalar(value)) is not None
        }
        return MetricRow(step, split, scalars, time.time())

    def _note_failure(self, error: Exception) -> None:
        self._is_connected = False
        self._failures += 1
        if not self._has_warned:
            self._has_warned = True
            _issue(
                self._no_response(
                    error,
                    "Training continues; the rows are in metrics.jsonl, and are sent "
                    "when it responds.",
                )
            )

    def _rest(self) -> None:
        """Lets rows queue, until they are due or half of the queue is full."""
        deadline_s = time.monotonic() + self._interval_s
        half = (self._queue.maxlen or 2) // 2
        with self._changed:
            while not (self._status or self._is_due or len(self._queue) > half):
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not self._changed.wait(left_s):
                    break

    def _pause(self, status: RunStatus | None) -> None:
        """Waits before the next attempt; until the run ends if that is earlier."""
        factor = 2 ** min(self._failures - 1, 20)
        deadline_s = time.monotonic() + min(self._pause_s * factor, _LONGEST_PAUSE_S)
        with self._changed:
            while self._status == status:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not self._changed.wait(left_s):
                    break

    def _no_response(self, error: Exception, hint: str) -> Diagnostic:
        lines = without_secrets(str(error)).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0][:300]}" if lines else repr(error)
        problem = f"does not respond ({reason})"
        return Diagnostic(self.name, problem, hint=hint, code="tracker")

    def _warn(self, problem: str, hint: str = "") -> None:
        _issue(Diagnostic(self.name, problem, hint=hint, code="tracker"))

    def _note_names(self) -> None:
        """Reports the names that the tracker refuses, each once."""
        new = {n: m for n, m in self._names.mapped.items() if n not in self._named}
        if new:
            self._named |= new.keys()
            named = ", ".join(f"{name} is {mapped}" for name, mapped in new.items())
            self._warn(f"refuses names of metrics; there, {named}")


def _key(row: MetricRow) -> tuple[str, int]:
    return row.split, row.step


def _scalar(value: Any) -> float | None:
    """A number, NaN for null; None for arrays and texts."""
    if value is None:
        return math.nan
    if isinstance(value, str | list | dict):
        return None
    array = np.asarray(value)
    is_number = array.dtype.kind in "biuf" or array.dtype.name == "bfloat16"
    return float(array) if is_number and not array.shape else None


def _issue(diagnostic: Diagnostic) -> None:
    # Where warnings are errors, the thread has no one to raise them to.
    with contextlib.suppress(SpecflowWarning):
        warnings.warn(SpecflowWarning(diagnostic), stacklevel=2)
