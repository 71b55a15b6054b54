"""Trials that take turns in one process, each with the process as it left it."""

import functools
import inspect
import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING, Any

from specflow.runtime.signal_handlers import SharedHandler
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
        trial: yields None first, then its device loops, and returns the message about
            its end.
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
        self.handlers: dict[int, Any] = {}
        """Its handlers of the signals that stop it."""
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
        self._outside_handlers: dict[int, Any] = {}
        self._delivers = False
        """Whether the current trial is told of signals; what is raised reaches it."""
        self._streams = os.dup(1), os.dup(2)

    def begin(self, lane: Lane) -> dict[str, Any] | None:
        """Runs a trial up to its first device loop.

        Returns:
            The message about its end; None if it has not ended.
        """
        # From here on, what is raised in it is its end.
        next(lane.trial)
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
        if lane is not self._current:
            self._switch(lane)
        error: BaseException | None = None
        try:
            self._delivers = True
            while lane.signals:
                number = lane.signals.pop(0)
                handler: Any = signal.getsignal(number)
                # The others have heard of it.
                handler = getattr(handler, "handler", handler)
                if callable(handler):
                    handler(number, None)
            self._delivers = False
        except BaseException as raised:
            self._delivers, error = False, raised
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
            self._switch(next(iter(self.running.values()), None))
            return end.value
        for number in _STOPPING:
            handler = signal.getsignal(number)
            if not isinstance(handler, SharedHandler):  # Of a user.
                signal.signal(number, self._shared(handler))
        lane.loops += lane.loop is not None
        return None

    def _switch(self, lane: Lane | None) -> None:
        """Makes the process as a trial left it, or as it was before all.

        A signal that arrives meanwhile is for all trials.
        """
        held: dict[int, Any]
        held = {number: signal.signal(number, self._hold) for number in _STOPPING}
        _flush()
        former, self._current = self._current, lane
        if former is None:
            self._outside, self._outside_handlers = ProcessState(), held
        elif former.number in self.running:
            former.state, former.handlers = ProcessState(), held
        self._redirect(lane)
        state = lane and lane.state
        (state or self._outside).restore()
        if lane is not None and state is None:
            warnings.filters = list(warnings.filters)
        handlers = self._outside_handlers
        if lane is not None:
            handlers = lane.handlers or {
                number: self._shared(functools.partial(self._in_trial, handler))
                for number, handler in handlers.items()
            }
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def _shared(self, handler: Any) -> Any:
        """Returns a handler of the current trial that notes a signal for the others."""
        if isinstance(handler, SharedHandler) or not callable(handler):
            return handler
        return SharedHandler(handler, self._hear)

    def _in_trial(self, handler: Any, number: int, frame: Any) -> None:
        """Handles a signal inside of the current trial, now or when it is its turn.

        The handler raises, which must not end the process and with it the others.
        """
        assert self._current is not None
        state = inspect.getgeneratorstate(self._current.trial)
        if self._delivers or state == inspect.GEN_RUNNING:
            handler(number, frame)
        else:
            self._current.signals.append(number)

    def _hear(self, number: int) -> None:
        """Notes a signal for the trials that do not run now."""
        for lane in self.running.values():
            if lane is not self._current:
                lane.signals.append(number)

    def _hold(self, number: int, frame: object) -> None:
        """Notes a signal for all trials."""
        del frame
        for lane in self.running.values():
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
