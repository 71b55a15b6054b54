"""The connection of a process to the launcher that started it, and ends with it.

Every command looks whether there is one; what a connection takes is imported where
there is.
"""

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socket import socket

__all__ = ["VARIABLE", "report", "watch"]

VARIABLE = "SPECFLOW_LAUNCHER"
"""Environment: file descriptor of the connection to the launcher."""

_CONNECTIONS: list["socket"] = []
"""The one of this process, if a launcher started it."""


def watch() -> None:
    """Ends this process, as SIGTERM does, when its launcher has ended.

    A process that no launcher started is left alone.
    """
    # What this process starts itself does not inherit the connection.
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
        waits = connection, signal.SIGTERM
        threading.Thread(target=_wait, args=waits, daemon=True).start()


def report(**facts: int | str) -> None:
    """Reports to the launcher where this process is.

    Args:
        **facts: `start`, the step from which it trains; `step`, the last one that is
            done; `directory`, of its run; `mistake`, an error in the config that it
            has printed.

    >>> report(step=12)
    """
    if not _CONNECTIONS:
        return
    import json
    from socket import MSG_DONTWAIT

    for connection in _CONNECTIONS:
        with contextlib.suppress(OSError):  # It is full, or nobody reads.
            connection.send(json.dumps(facts).encode() + b"\n", MSG_DONTWAIT)


def _wait(connection: "socket", at_end: int) -> None:
    """Sends this process a signal when the connection ends."""
    with contextlib.suppress(OSError):
        while connection.recv(64):
            pass
    os.kill(os.getpid(), at_end)
