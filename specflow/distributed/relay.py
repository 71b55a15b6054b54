"""A relay before JAX's coordination service, which lives in process 0.

JAX aborts a process whose connection to the service ends, with a C++ stack and status
134 (jaxlib 0.10; its `missed_heartbeat_callback` cannot be a Python function). Behind a
relay the connection does not end: `alarm` ends the process, and names process 0.
"""

import contextlib
import socket
import threading
import time

__all__ = ["relay"]

_RETRY_S = 0.1
_MOST = 1 << 16


def relay(coordinator: str, *, timeout_s: float) -> str:
    """Passes on connections to the coordination service, as long as this process runs.

    Args:
        coordinator: `host:port` of the service; it need not listen yet.
        timeout_s: how long a connection waits for the service to listen.

    Returns:
        `host:port` to connect to instead, on this machine.
    """
    server = socket.create_server(("127.0.0.1", 0))
    words = (server, coordinator, timeout_s)
    threading.Thread(target=_accept, args=words, daemon=True).start()
    return f"127.0.0.1:{server.getsockname()[1]}"


def _accept(server: socket.socket, coordinator: str, timeout_s: float) -> None:
    host, _, port = coordinator.rpartition(":")
    address = host.strip("[]"), int(port)
    while True:
        near, _ = server.accept()
        words = (near, address, timeout_s)
        threading.Thread(target=_connect, args=words, daemon=True).start()


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
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_pass_on, args=(far, near), daemon=True)
            back.start()
            _pass_on(near, far)
            with contextlib.suppress(OSError):
                far.shutdown(socket.SHUT_RDWR)  # JAX is done with it: so is `back`.
            back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Passes on what comes, until `source` ends; nobody hears of the end of `target`.

    What is for a service that is gone is dropped: a connection of JAX's that this no
    longer held would be closed, and JAX abort.
    """
    with contextlib.suppress(OSError):
        while data := source.recv(_MOST):
            with contextlib.suppress(OSError):
                target.sendall(data)
