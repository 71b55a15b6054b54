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
        self._socket, self._received = connection, b""

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

    @property
    def is_received(self) -> bool:
        """Whether a message is here already, which `select` does not know."""
        return b"\n" in self._received

    def receive(self) -> dict[str, Any] | None:
        """Waits for a message; None if the other end is gone."""
        while not self.is_received:
            try:
                part = self._socket.recv(1 << 16)
            except OSError:
                return None
            if not part:
                return None  # The end of a process can cut its last line.
            self._received += part
        line, _, self._received = self._received.partition(b"\n")
        return json.loads(line)

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()
