"""Trials that take turns in one process, each with the process as it left it."""

import contextlib
import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING, Any

from specflow.sweep.pool.process_state import ProcessState

if TYPE_CHECKING:
    from specflow.executor.device_loops import (
        DeviceLoop,
        DeviceLoopResult,
        DeviceLoops,
    )

__all__ = ["Lane", "Lanes"]


class Lane:
    """A trial that runs up to its next device loop, and waits there.

    Args:
        number: of the trial.
        trial: yields its device loops, and returns the message about its end.
        log: file for its output; None: that of the process.
        is_packed: whether its device loops may run with those of others.
    """

    def __init__(
        self,
        number: int,
        trial: "DeviceLoops[dict[str, Any]]",
        log: str | None,
        *,
        is_packed: bool,
    ):
        self.number, self.is_packed = number, is_packed
        self.trial, self.log = trial, log
        self.loop: DeviceLoop | None = None
        """What it waits for; None: it has not begun, waits for its turn, or has
        ended."""
        self.loops = 0
        """Number of its device loops so far."""
        self.state: ProcessState | None = None
        """The process as it left it."""
        self.signals: list[int] = []
        """Those that arrived while it waited."""


class Lanes:
    """The trials of this process.

    What a trial changes in the process stays as long as no other one runs: with one
    trial alone, nothing is exchanged. Signals reach all trials.
    """

    def __init__(self) -> None:
        self.running: dict[int, Lane] = {}
        """Number of a trial -> it."""
        self._current: Lane | None = None
        self._outside = ProcessState()
        self._streams = os.dup(1), os.dup(2)
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._signals = reader
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def begin(self, lane: Lane) -> dict[str, Any] | None:
        """Runs a trial up to its first device loop.

        Returns:
            The message about its end; None if it has not ended.
        """
        self._pass_signals_on()  # Those so far are for the others.
        self.running[lane.number] = lane
        return self._run(lane, None)

    def resume(
        self, lane: Lane, result: "DeviceLoopResult | BaseException | None"
    ) -> dict[str, Any] | None:
        """Runs a trial up to its next device loop; as `begin`.

        Args:
            lane: the trial.
            result: of its device loop, or what that raised; None: it is its turn.
        """
        return self._run(lane, result)

    def _run(
        self, lane: Lane, result: "DeviceLoopResult | BaseException | None"
    ) -> dict[str, Any] | None:
        self._switch(lane)
        error: BaseException | None = None
        try:
            for number in lane.signals:
                handler: Any = signal.getsignal(number)
                if callable(handler):
                    handler(number, None)
        except BaseException as raised:
            error = raised
        lane.signals.clear()
        lane.loop = None
        if isinstance(result, BaseException):
            error, result = error or result, None
        sent: Any = result  # None begins the trial.
        try:
            if error is not None:
                lane.loop = lane.trial.throw(error)
            else:
                lane.loop = lane.trial.send(sent)
        except StopIteration as end:
            del self.running[lane.number]
            self._leave()
            return end.value
        lane.loops += lane.loop is not None
        return None

    def _switch(self, lane: Lane) -> None:
        """Makes the process as a trial left it."""
        if lane is self._current:
            return
        self._pass_signals_on()
        if self._current is None:
            self._outside = ProcessState()
        else:
            _flush()
            self._current.state = ProcessState()
        self._current = lane
        self._redirect(lane)
        if lane.state is not None:
            lane.state.restore()
            return
        self._outside.restore()
        warnings.filters = list(warnings.filters)

    def _leave(self) -> None:
        """Makes the process as another trial left it, or as it was before all."""
        _flush()
        self._pass_signals_on()
        self._current = next(iter(self.running.values()), None)
        state = self._outside if self._current is None else self._current.state
        assert state is not None
        state.restore()
        self._redirect(self._current)

    def _pass_signals_on(self) -> None:
        """Notes signals for the trials that did not run when they arrived."""
        arrived = b""
        with contextlib.suppress(BlockingIOError):
            arrived = os.read(self._signals, 64)
        for number in arrived:
            for lane in self.running.values():
                if lane is not self._current and number in _STOPPING:
                    lane.signals.append(number)

    def _redirect(self, lane: Lane | None) -> None:
        """Sends standard output and error to the log of a trial; of libraries too."""
        if lane is None or lane.log is None:
            for number, descriptor in zip((1, 2), self._streams, strict=True):
                os.dup2(descriptor, number)
            return
        os.makedirs(os.path.dirname(lane.log), exist_ok=True)
        log = os.open(lane.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for number in (1, 2):
            os.dup2(log, number)
        os.close(log)


_STOPPING = (signal.SIGINT, signal.SIGTERM)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
