"""A worker process of a sweep: runs the trials that it is sent, all at the same time.

A sweep without packs sends one, and the next when that has ended. The worker asks for
the next before, and prepares it while the devices work: it composes and checks it, and
traces its optimizer.

`python -m specflow.cli.trial_worker [PROJECT] DESCRIPTOR`: the folder of the project in
which the sweep was started, if there is one, and the end of a `MessageLink`.
"""

import collections
import contextlib
import functools
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specflow.cli.trial_lanes import Lane, Lanes
from specflow.compose.merged_files import kept_files
from specflow.diagnostics.errors import SpecflowError
from specflow.runtime import gc_pause, project_file, standard_streams
from specflow.runtime.devices_of_workers import CORES
from specflow.runtime.project_file import Project
from specflow.sweep.pool.message_link import MessageLink
from specflow.sweep.pool.sweep_messages import SweepMessages
from specflow.sweep.pool.trial import TrialStatus
from specflow.sweep.pool.trial_failures import failure_of

if TYPE_CHECKING:
    from specflow.commands.swept_trial import SharedParts
    from specflow.compose import Composed
    from specflow.executor.device_loops import DeviceLoops
    from specflow.executor.pack import Pack

__all__ = ["main"]


def main(descriptor: int, project: str = "") -> None:
    """Runs trials until the sweep closes the link, or its process ends.

    Args:
        descriptor: of a connected socket.
        project: folder of the project; empty: there is none.
    """
    gc_pause.pause()  # Until the first step.
    if project:
        found = project_file.read(Path(project)) or Project(folder=Path(project))
        project_file.enter(found)
    if cores := os.environ.pop(CORES, ""):
        os.sched_setaffinity(0, map(int, cores.split(",")))
    link = MessageLink(socket.socket(fileno=descriptor))
    messages = SweepMessages(link)
    threading.Thread(target=_listen, args=(link, messages), daemon=True).start()
    with standard_streams.prepared(), kept_files():
        # While the sweep still prepares its first trial.
        from specflow import commands
        from specflow.commands.swept_trial import SharedParts
        from specflow.compose import compose

        del commands, compose
        worker = _Worker(link, messages, SharedParts())
        while True:
            worker.run()


def _listen(link: MessageLink, messages: SweepMessages) -> None:
    """Keeps the sweep's messages; ends this process when the sweep is gone.

    At once, without saving: a sweep that was killed resumes from the checkpoints, and
    must not meet a process that still writes.
    """
    while (message := link.receive()) is not None:
        messages.put(message)
    os._exit(0)


class _Worker:
    """Runs trials in this process.

    Args:
        link: to the sweep.
        messages: those that arrive.
        shared: of an earlier trial, and used again where it is the same.
    """

    def __init__(
        self,
        link: MessageLink,
        messages: SweepMessages,
        shared: "SharedParts",
    ):
        self._link, self._messages, self._shared = link, messages, shared
        self._sent: collections.deque[dict[str, Any]] = collections.deque()
        """Trials that were sent, and have not begun."""
        self._next: dict[str, Any] | None = None
        """The trial to prepare while another one runs."""
        self._prepared: tuple[Lane, dict[str, Any] | None] | None = None
        """A trial that waits for its turn; and the message about its end, if it has
        failed."""
        self._loops = 1
        """Number of device loops of the last trial."""
        self._lanes = Lanes()
        self._pack: Pack | None = None
        self._notes = 0
        """Number of its notes that were sent."""
        self._devices: Any = None
        """What JAX was started with; it is started once in a process."""

    def run(self) -> None:
        """Begins the trials that were sent, and runs a device loop of all that run."""
        if not self._running() and not self._sent:
            self._sent.append(self._messages.trials.get())
        while self._sent or not self._messages.trials.empty():
            while not self._messages.trials.empty():
                self._sent.append(self._messages.trials.get())
            trial = self._sent.popleft()
            if trial.get("ahead"):
                self._next = trial
            else:
                self._begin(trial)
        lanes = self._running()
        results = self._results(lanes)
        # While the devices work: two device loops are dispatched before one is awaited.
        if any(lane.loops >= min(self._loops, 2) for lane in lanes.values()):
            self._prepare()
        for number, result in results.items():
            self._end(lanes[number], self._lanes.resume(lanes[number], result))

    def _running(self) -> dict[int, Lane]:
        """Number of each trial that does not wait for its turn -> it."""
        waiting = self._prepared and self._prepared[0]
        return {n: one for n, one in self._lanes.running.items() if one is not waiting}

    def _prepare(self) -> None:
        """Runs the next trial up to where it waits for its turn."""
        if self._next is None or self._prepared is not None:
            return
        trial, self._next = self._next, None
        _collect_garbage()
        steps = self._outcome(trial, is_ahead=True)
        lane = Lane(trial["number"], steps, trial["log"], is_packed=False)
        end = self._lanes.begin(lane)
        if end is None or "stopped" not in end:  # It begins anew otherwise.
            self._prepared = lane, end

    def _begin(self, trial: Mapping[str, Any]) -> None:
        number, kind = trial["number"], trial["pack"]
        if self._next is not None and self._next["number"] == number:
            self._next = None  # It is its turn already.
        prepared = self._prepared
        if prepared is not None and prepared[0].number == number:
            self._prepared = None
        if kind is None and self._prepared is None:
            self._link.send({"number": number, "asks": True})
        if prepared is not None and prepared[0].number == number:
            lane, end = prepared
            self._end(lane, end or self._lanes.resume(lane, None))
            return
        _collect_garbage()
        if kind and self._pack is None:
            from specflow.executor.pack import Pack, PackKind

            is_auto = kind == "auto"
            kind = PackKind.MAP if is_auto else PackKind(kind)
            self._pack = Pack(kind, verifies=is_auto)
        lane = Lane(
            number, self._outcome(trial), trial["log"], is_packed=bool(trial["pack"])
        )
        self._end(lane, self._lanes.begin(lane))
        if lane.loop is not None and lane.is_packed and self._pack is not None:
            # The next trial shares the trace; an error is raised when it is run.
            with contextlib.suppress(Exception):
                self._pack.lowered(lane.loop)

    def _results(self, lanes: Mapping[int, Lane]) -> dict[int, Any]:
        """Runs the device loops that trials wait for."""
        loops = {n: lane.loop for n, lane in lanes.items() if lane.loop is not None}
        packed = {n: loop for n, loop in loops.items() if lanes[n].is_packed}
        results: dict[int, Any] = {}
        if self._pack is not None and packed:
            results |= self._pack.run(packed)
            for note in self._pack.notes[self._notes :]:
                self._link.send({"note": note})
            self._notes = len(self._pack.notes)
        for number in loops.keys() - packed.keys():
            try:
                results[number] = loops[number].run()
            except BaseException as error:
                results[number] = error
        return results

    def _end(self, lane: Lane, message: dict[str, Any] | None) -> None:
        """Sends the message about the end of a trial, if it has ended."""
        if message is None:
            return
        self._loops = lane.loops
        if self._pack is not None:
            self._pack.release(lane.number)
            message["in_pack"] = lane.number in self._pack.failed
            self._pack.failed.discard(lane.number)
        self._link.send({"number": lane.number, **message})

    def _outcome(
        self, trial: Mapping[str, Any], *, is_ahead: bool = False
    ) -> "DeviceLoops[dict[str, Any]]":
        from specflow.compose import compose
        from specflow.compose.check.locate import placing_errors

        judged: dict[str, str] = {}
        try:
            yield None
            composed = compose(
                trial["overrides"],
                config_dirs=trial["config_dirs"],
                started_in=trial["started_in"],
            )
            if (best := composed.config.output.checkpoint.best) is not None:
                judged = {"metric": best.metric, "order": best.order}
            if trial["pack"] and composed.config.loop.profile is not None:
                return {"alone": True}  # A process has one profiler.
            mesh = composed.config.mesh
            devices = mesh.pretend_devices, mesh.processes
            if self._devices not in (None, devices):
                return {
                    "decline": "JAX already runs with other devices in this process"
                }
            self._devices = devices
            with placing_errors(composed):
                result = yield from self._train(trial["number"], composed, is_ahead)
        except BaseException as error:
            return _failed(error, judged)
        status = TrialStatus.PRUNED if result.get("pruned") else TrialStatus.COMPLETE
        return {"outcome": {"status": status, "result": result, **judged}}

    def _train(
        self, number: int, composed: "Composed", is_ahead: bool
    ) -> "DeviceLoops[dict[str, Any]]":
        from specflow.commands.swept_trial import SweptTrial
        from specflow.commands.train import train_loops
        from specflow.output.json_values import to_plain

        is_pruned = functools.partial(self._messages.is_pruned, number)
        trial = SweptTrial(self._shared, is_pruned, is_ahead)
        return to_plain((yield from train_loops(composed, trial)))


def _collect_garbage() -> None:
    """Frees traces and arrays of trials that have ended, which refer to one another."""
    if gc.isenabled():  # Else none has begun.
        gc.collect()


def _failed(error: BaseException, judged: dict[str, str]) -> dict[str, Any]:
    """The message of a trial that raised."""
    if isinstance(error, KeyboardInterrupt) or getattr(error, "exit_code", 0) > 128:
        print(error or "interrupted", file=sys.stderr)
        return {"stopped": True}
    from specflow.diagnostics import user_code
    from specflow.diagnostics.rendering import report_error

    report_error(error)
    if isinstance(error, SpecflowError) or user_code.is_users(error):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
    outcome = {
        "status": TrialStatus.FAILED,
        "error": text,
        "failure": failure_of(error),
        **judged,
    }
    return {"outcome": outcome}


if __name__ == "__main__":
    for _number in (signal.SIGINT, signal.SIGTERM):
        # Only a running trial has something to save; see `commands.signals`.
        signal.signal(_number, signal.default_int_handler)
    # Processes of Ray, and so their children, have SIGINT blocked.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT, signal.SIGTERM])
    # Slurm sends it to all processes of a job; that of submitit stops the trial.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    with contextlib.suppress(KeyboardInterrupt):
        main(int(sys.argv[-1]), *sys.argv[1:-1])
