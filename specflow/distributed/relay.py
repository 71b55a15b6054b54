"""A relay in front of JAX's coordination service, which runs in process 0.

JAX aborts a process whose connection to the service ends, with a C++ stack and status
134 (jaxlib 0.10; its `missed_heartbeat_callback` cannot be a Python function). Behind a
relay the connection does not end: `failure` ends the process and names process 0.
"""

import contextlib
import socket
import threading
import time

__all__ = ["relay"]

_RETRY_S = 0.1
_CHUNK = 1 << 16


def relay(coordinator: str, *, timeout_s: float) -> str:
    """Forwards connections to the coordination service while this process runs.

    Args:
        coordinator: `host:port` of the service, which may start to listen later.
        timeout_s: how long a connection waits for the service to listen.

    Returns:
        `host:port` of the relay, on this machine.
    """
    server = socket.create_server(("127.0.0.1", 0))
    args = (server, coordinator, timeout_s)
    threading.Thread(target=_accept, args=args, daemon=True).start()
    return f"127.0.0.1:{server.getsockname()[1]}"


def _accept(server: socket.socket, coordinator: str, timeout_s: float) -> None:
    host, _, port = coordinator.rpartition(":")
    address = host.strip("[]"), int(port)
    while True:
        near, _ = server.accept()
        args = (near, address, timeout_s)
        threading.Thread(target=_connect, args=args, daemon=True).start()


def _connect(near: socket.socket, address: tuple[str, int], timeout_s: float) -> None:
    with near:
        until = time.monotonic() + timeout_s
        while True:
            try:
                far = socket.create_connection(address, timeout=timeout_s)
                break
            except OSError:
                if time.monotonic() > until:
                    return
                time.sleep(_RETRY_S)
        with far:
            far.settimeout(None)
            for connection in (near, far):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_forward, args=(far, near), daemon=True)
            back.start()
            _forward(near, far)
            with contextlib.suppress(OSError):
                far.shutdown(socket.SHUT_RDWR)  # Ends `back`: JAX has disconnected.
            back.join()


def _forward(source: socket.socket, target: socket.socket) -> None:
    """Forwards data until `source` ends; the end of `target` is not passed on.

    Data for a lost service is dropped: if this closed the connection, JAX would abort.
    """
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            with contextlib.suppress(OSError):
                target.sendall(data)
