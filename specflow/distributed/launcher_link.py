"""The connection of a process to its launcher.

Every command checks for one, so modules are imported only where there is one.
"""

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socket import socket

__all__ = ["VARIABLE", "report", "watch"]

VARIABLE = "SPECFLOW_LAUNCHER"
"""Environment variable: file descriptor of the connection to the launcher."""

_CONNECTIONS: list["socket"] = []
"""The connection of this process, if a launcher started it."""


def watch() -> None:
    """Sends this process SIGTERM when its launcher ends.

    Does nothing in a process that no launcher started.
    """
    # Child processes must not inherit the connection.
    descriptor = os.environ.pop(VARIABLE, None)
    if descriptor is None:
        return
    import signal
    import socket
    import threading

    with contextlib.suppress(OSError):
        connection = socket.socket(fileno=int(descriptor))
        connection.set_inheritable(False)
        _CONNECTIONS.append(connection)
        args = connection, signal.SIGTERM
        threading.Thread(target=_wait, args=args, daemon=True).start()


def report(**facts: int | str) -> None:
    """Reports the progress of this process to its launcher.

    Args:
        **facts: `start`, the step that training starts from; `step`, the last completed
            one; `directory` of the run; `mistake`, a config error that was printed.

    >>> report(step=12)
    """
    if not _CONNECTIONS:
        return
    import json
    from socket import MSG_DONTWAIT

    for connection in _CONNECTIONS:
        with contextlib.suppress(OSError):  # The buffer is full, or closed.
            connection.send(json.dumps(facts).encode() + b"\n", MSG_DONTWAIT)


def _wait(connection: "socket", at_end: int) -> None:
    """Sends this process a signal when the connection ends."""
    with contextlib.suppress(OSError):
        while connection.recv(64):
            pass
    os.kill(os.getpid(), at_end)
