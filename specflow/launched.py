"""The connection of a process to the launcher that started it, and ends with it."""

import contextlib
import json
import os
import signal
import socket
import threading

__all__ = ["VARIABLE", "report", "watch"]

VARIABLE = "SPECFLOW_LAUNCHER"
"""Environment: file descriptor of the connection to the launcher."""

_CONNECTIONS: list[socket.socket] = []
"""The one of this process, if a launcher started it."""


def watch() -> None:
    """Ends this process, as SIGTERM does, when its launcher has ended.

    A process that no launcher started is left alone.
    """
    # What this process starts itself does not inherit the connection.
    descriptor = os.environ.pop(VARIABLE, None)
    if descriptor is None:
        return
    with contextlib.suppress(OSError):
        connection = socket.socket(fileno=int(descriptor))
        connection.set_inheritable(False)
        _CONNECTIONS.append(connection)
        threading.Thread(target=_wait, args=(connection,), daemon=True).start()


def report(**facts: int | str) -> None:
    """Reports to the launcher where this process is.

    Args:
        **facts: `start`, the step from which it trains; `step`, the last one that is
            done; `directory`, of its run.

    >>> report(step=12)
    """
    for connection in _CONNECTIONS:
        with contextlib.suppress(OSError):  # It is full, or nobody reads.
            message = json.dumps(facts).encode() + b"\n"
            connection.send(message, socket.MSG_DONTWAIT)


def _wait(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while connection.recv(64):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
