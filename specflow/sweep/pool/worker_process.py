"""A worker process of a sweep, seen from the sweep."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from specflow.runtime.devices_of_workers import worker_environments
from specflow.sweep.pool.message_link import MessageLink
from specflow.sweep.pool.trial import Trial

__all__ = ["RunningTrial", "Worker", "WorkerProcess", "local_workers"]


class RunningTrial(NamedTuple):
    """A trial that a worker runs."""

    trial: Trial
    started_s: float
    """`time.monotonic()` when it was sent."""


class Worker(Protocol):
    """A process on some machine that runs trials."""

    link: MessageLink
    """Carries the messages of `specflow.cli.trial_worker`."""
    trials: dict[int, RunningTrial]
    """Number -> trial that it runs."""
    is_ready: bool
    """Whether it takes trials; if not, it sends a message `ready` once it does."""

    def send(self, message: dict[str, Any]) -> bool:
        """Sends a message; returns False if the process has ended."""
        ...

    def signal(self, number: int) -> None:
        """Sends a signal, if the process still runs."""
        ...

    def close(self, *, kill: bool = False) -> str:
        """Ends the process; returns how it ended, as part of a sentence."""
        ...


class WorkerProcess:
    """A process that runs trials.

    It has a process group of its own, so that Ctrl-C reaches it through the sweep
    alone, and ends when the sweep's process ends.

    Args:
        command: starts the process; the number of a file descriptor is appended, which
            is its end of the link.
        environment: variables that are added to those of this process.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]):
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **environment},
                process_group=0,
            )
        self.link = MessageLink(ours)
        self.trials: dict[int, RunningTrial] = {}
        self.is_ready = True

    def send(self, message: dict[str, Any]) -> bool:
        """Sends a message; returns False if the process has ended."""
        return self.link.send(message)

    def signal(self, number: int) -> None:
        """Sends a signal, if the process still runs."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def close(self, *, kill: bool = False) -> str:
        """Ends the process; returns how it ended.

        Args:
            kill: do not wait for what it is doing.
        """
        if kill:
            self.signal(signal.SIGKILL)
        self.link.close()  # An idle process ends now.
        status = self._process.wait()
        if -status == signal.SIGKILL:
            return "signal 9, as when memory runs out"
        return f"signal {-status}" if status < 0 else f"exit status {status}"


def local_workers(command: Sequence[str], workers: int) -> Callable[[int], Worker]:
    """Returns what starts one of several workers, which divide the cores and GPUs.

    Args:
        command: starts a worker; see `WorkerProcess`.
        workers: their number.

    Raises:
        ConfigError: there are GPUs, and fewer than workers.
    """
    environments = worker_environments(workers)
    return lambda index: WorkerProcess(command, environments[index])
