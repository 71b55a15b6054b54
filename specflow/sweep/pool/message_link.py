"""Messages between a sweep and its worker processes: JSON lines over a socket."""

import json
import socket
from typing import Any

__all__ = ["MessageLink"]


class MessageLink:
    """One end of a connection that carries messages both ways.

    Args:
        connection: a connected socket; it is closed with the link.

    >>> here, there = map(MessageLink, socket.socketpair())
    >>> here.send({"step": 3})
    True
    >>> there.receive()
    {'step': 3}
    >>> here.close(); there.receive() is None
    True
    >>> there.close()
    """

    def __init__(self, connection: socket.socket):
        self._socket = connection
        self._lines = connection.makefile("rb")

    def fileno(self) -> int:
        """The descriptor, for `select`."""
        return self._socket.fileno()

    def send(self, message: dict[str, Any]) -> bool:
        """Sends a message; returns False if the other end is gone."""
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            return False
        return True

    def receive(self) -> dict[str, Any] | None:
        """Waits for a message; None if the other end is gone."""
        try:
            line = self._lines.readline()
        except OSError:
            return None
        # The end of a process can cut its last line.
        return json.loads(line) if line.endswith(b"\n") else None

    def close(self) -> None:
        """Closes the connection."""
        self._lines.close()
        self._socket.close()
