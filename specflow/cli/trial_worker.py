"""A worker process of a sweep: runs the trials that it is sent, one after another.

`python -m specflow.cli.trial_worker [PROJECT] DESCRIPTOR`: the folder of the project in
which the sweep was started, if there is one, and the end of a `MessageLink`.
"""

import contextlib
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specflow.compose.merged_files import kept_files
from specflow.diagnostics.errors import SpecflowError
from specflow.runtime import project_file, standard_streams
from specflow.runtime.devices_of_workers import CORES
from specflow.runtime.project_file import Project
from specflow.sweep.pool.message_link import MessageLink
from specflow.sweep.pool.process_state import restored_process_state
from specflow.sweep.pool.trial import TrialStatus
from specflow.sweep.pool.trial_failures import failure_of

if TYPE_CHECKING:
    from specflow.commands.swept_trial import SharedParts
    from specflow.compose import Composed

__all__ = ["main"]


def main(descriptor: int, project: str = "") -> None:
    """Runs trials until the sweep closes the link, or its process ends.

    Args:
        descriptor: of a connected socket.
        project: folder of the project; empty: there is none.
    """
    if project:
        found = project_file.read(Path(project)) or Project(folder=Path(project))
        project_file.enter(found)
    if cores := os.environ.pop(CORES, ""):
        os.sched_setaffinity(0, map(int, cores.split(",")))
    link = MessageLink(socket.socket(fileno=descriptor))
    messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(link, messages), daemon=True).start()
    with standard_streams.prepared(), kept_files():
        # While the sweep still prepares its first trial.
        from specflow import commands
        from specflow.commands.swept_trial import SharedParts
        from specflow.compose import compose

        del commands, compose
        worker = _Worker(link, messages, SharedParts())
        while True:
            worker.run(messages.get())


def _listen(link: MessageLink, messages: "queue.SimpleQueue[dict[str, Any]]") -> None:
    """Queues the sweep's messages; ends this process when the sweep is gone.

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
        messages: "queue.SimpleQueue[dict[str, Any]]",
        shared: "SharedParts",
    ):
        self._link, self._messages, self._shared = link, messages, shared
        self._devices: Any = None
        """What JAX was started with; it is started once in a process."""

    def run(self, trial: Mapping[str, Any]) -> None:
        """Runs a trial and sends its outcome."""
        with restored_process_state(), _logged(trial["log"]):
            message = self._outcome(trial)
            sys.stdout.flush()
            sys.stderr.flush()
        self._link.send(message)

    def _outcome(self, trial: Mapping[str, Any]) -> dict[str, Any]:
        from specflow.compose import compose

        judged: dict[str, str] = {}
        try:
            composed = compose(
                trial["overrides"],
                config_dirs=trial["config_dirs"],
                started_in=trial["started_in"],
            )
            if (best := composed.config.output.checkpoint.best) is not None:
                judged = {"metric": best.metric, "order": best.order}
            mesh = composed.config.mesh
            devices = mesh.pretend_devices, mesh.processes
            if self._devices not in (None, devices):
                return {
                    "decline": "JAX already runs with other devices in this process"
                }
            self._devices = devices
            result = self._train(composed)
        except BaseException as error:
            return _failed(error, judged)
        status = TrialStatus.PRUNED if result.get("pruned") else TrialStatus.COMPLETE
        return {"outcome": {"status": status, "result": result, **judged}}

    def _train(self, composed: "Composed") -> dict[str, Any]:
        from specflow import commands
        from specflow.commands.swept_trial import SweptTrial
        from specflow.output.json_values import to_plain

        trial = SweptTrial(self._shared, self._is_pruned)
        return to_plain(commands.train(composed, trial))

    def _is_pruned(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Reports an evaluation; returns whether the sweep prunes the trial."""
        self._link.send({"report": {"step": step, "metrics": dict(metrics)}})
        return self._messages.get()["prune"]


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


@contextlib.contextmanager
def _logged(file: str | None) -> Iterator[None]:
    """Sends standard output and error to a file inside the block; also of libraries."""
    if file is None:
        yield
        return
    os.makedirs(os.path.dirname(file), exist_ok=True)
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    former = os.dup(1), os.dup(2)
    for number in (1, 2):
        os.dup2(log, number)
    os.close(log)
    try:
        yield
    finally:
        for number, descriptor in zip((1, 2), former, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)


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
