"""A worker process of a sweep, seen from the sweep."""

import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from specflow.sweep.pool.message_link import MessageLink
from specflow.sweep.pool.trial import Trial

__all__ = ["WorkerProcess"]


class WorkerProcess:
    """A process that runs trials one after another.

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
        self.trial: Trial | None = None
        """The trial that it runs."""
        self.started_s = 0.0
        """`time.monotonic()` when the trial was sent."""

    def send(self, message: dict[str, Any]) -> bool:
        """Sends a message; returns False if the process has ended."""
        return self.link.send(message)

    def signal(self, number: int) -> None:
        """Sends a signal, if the process still runs."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def close(self, *, kill: bool = False) -> int:
        """Ends the process; returns its exit status, negative after a signal.

        Args:
            kill: do not wait for what it is doing.
        """
        if kill:
            self.signal(signal.SIGKILL)
        self.link.close()  # An idle process ends now.
        return self._process.wait()
