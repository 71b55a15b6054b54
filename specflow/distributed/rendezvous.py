"""Rendezvous of all processes before JAX is initialized.

JAX itself ends a process whose initialization times out, and does not name the missing
one.
"""

import contextlib
import ipaddress
import json
import selectors
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self, cast

from specflow.diagnostics.errors import Diagnostic, MachineError

__all__ = ["cancel_start", "is_loopback", "meet"]

_RETRY_S = 0.1
_GRACE_S = 5.0
"""Seconds that the others wait longer than process 0, which knows who is missing."""
_MAX_LINE = 1 << 16
"""Bytes of a message."""
_MAX_PROBLEM = _MAX_LINE // 8
"""Characters of a problem in a message."""
_PATIENCE_S = 10.0
"""Seconds that a process that cannot start waits to notify those that arrive."""


def meet(
    coordinator: str, *, index: int, count: int, timeout_s: float
) -> dict[int, socket.socket]:
    """Waits until all processes have arrived.

    Process 0 listens, the others connect and send their index. Its port is free again
    on return; the connections stay open for `failure`.

    Args:
        coordinator: `host:port` of process 0.
        index: of this process.
        count: number of processes.
        timeout_s: how long to wait for the others.

    Returns:
        Process index -> connection: in process 0 to each, in others to process 0.

    Raises:
        MachineError: a process did not arrive, or is not one of these; it is named.
    """
    if count == 1:
        return {}
    if index == 0:
        return _wait_for_others(_address(coordinator), count, timeout_s)
    return {0: _arrive(_address(coordinator), index, count, timeout_s)}


def cancel_start(
    coordinator: str, *, index: int, count: int, why: str, status: int
) -> None:
    """Notifies the others, waiting or still to arrive, that this process cannot start.

    Args:
        coordinator: `host:port` of process 0.
        index: of this process.
        count: number of processes.
        why: the problem.
        status: exit status of all processes.
    """
    address, until = _address(coordinator), time.monotonic() + _PATIENCE_S
    why = why[:_MAX_PROBLEM]  # A longer message would not be read.
    with contextlib.suppress(OSError, MachineError):
        if index == 0:
            with _listening(address) as server, _Arrivals(server) as arrivals:
                answer = {"problem": why, "status": status}
                _notify_arrivals(arrivals, set(range(1, count)), answer, until)
            return
        hello = {"specflow": 1, "index": index, "count": count, "status": status}
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                left = max(0.1, until - time.monotonic())
                with socket.create_connection(address, timeout=left) as peer:
                    _send(peer, hello | {"why": why})
                    if _receive_message(peer, left) is not None:
                        return
            time.sleep(_RETRY_S)


class _Arrivals:
    """Arrivals at process 0, in the order in which they send their index.

    A silent connection blocks no other, and foreign ones are closed, since any program
    can connect to the port.
    """

    def __init__(self, server: socket.socket):
        self._server, self._received = server, dict[socket.socket, bytes]()
        self._selector = selectors.DefaultSelector()
        self._selector.register(server, selectors.EVENT_READ)
        server.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for peer in self._received:
            peer.close()

    def next(self, until: float) -> tuple[socket.socket, dict[str, Any]] | None:
        """Returns a connection and its first message; None if none arrives in time."""
        while (left := until - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                if key.fileobj is self._server:
                    with contextlib.suppress(OSError):
                        peer, _ = self._server.accept()
                        peer.setblocking(False)
                        self._selector.register(peer, selectors.EVENT_READ)
                        self._received[peer] = b""
                    continue
                peer = cast(socket.socket, key.fileobj)
                line = self._line(peer)
                if line is not None:
                    self._selector.unregister(peer)
                    del self._received[peer]
                    hello = _parsed(line)
                    if hello is not None and _is_ours(hello):
                        peer.setblocking(True)
                        return peer, hello
                    peer.close()
        return None

    def _line(self, peer: socket.socket) -> bytes | None:
        """Returns the first line of a connection, or its part if the connection ended.

        None: the line is incomplete. Bytes after the line are for `failure`.
        """
        try:
            while not self._received[peer].endswith(b"\n"):
                byte = peer.recv(1)
                if not byte or len(self._received[peer]) >= _MAX_LINE:
                    break
                self._received[peer] += byte
        except BlockingIOError:
            return None
        except OSError:
            return b""
        return self._received[peer]


def _notify_arrivals(
    arrivals: _Arrivals, missing: set[Any], answer: dict[str, Any], until: float
) -> None:
    """Answers, on process 0, the processes that are still to arrive, until a time."""
    while missing and (arrival := arrivals.next(until)) is not None:
        peer, hello = arrival
        with peer, contextlib.suppress(OSError):
            _send(peer, answer)
            missing.discard(hello["index"])


def is_loopback(coordinator: str) -> bool:
    """Returns whether all processes are on this machine.

    >>> is_loopback("127.0.0.1:4000"), is_loopback("node1:4000")
    (True, False)
    """
    host = coordinator.rpartition(":")[0].strip("[]")
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _address(coordinator: str) -> tuple[str, int]:
    host, _, port = coordinator.rpartition(":")
    return host.strip("[]"), int(port)


def _wait_for_others(
    address: tuple[str, int], count: int, timeout_s: float
) -> dict[int, socket.socket]:
    """Waits, on process 0, for the others, then answers them."""
    with contextlib.ExitStack() as stack:
        arrived: dict[int, socket.socket] = {}
        until = time.monotonic() + timeout_s
        diagnostic, status = None, None
        with _listening(address) as server, _Arrivals(server) as arrivals:
            while diagnostic is None and len(arrived) < count - 1:
                arrival = arrivals.next(until)
                if arrival is None:
                    diagnostic = _absent(set(range(1, count)) - set(arrived), timeout_s)
                    break
                peer, hello = arrival
                stack.enter_context(peer)
                diagnostic = _mismatch(hello, arrived, count) or hello.get("why")
                status = hello.get("status")
                arrived.setdefault(hello["index"], peer)
            answer = {"problem": diagnostic, "status": status}
            if status is not None:
                missing = set(range(1, count)) - set(arrived)
                deadline = time.monotonic() + _PATIENCE_S
                _notify_arrivals(arrivals, missing, answer, deadline)
        for peer in arrived.values():
            with contextlib.suppress(OSError):
                _send(peer, answer)
                peer.settimeout(None)
        if diagnostic is not None:
            raise _error(diagnostic, status)
        stack.pop_all()
        return arrived


def _arrive(
    address: tuple[str, int], index: int, count: int, timeout_s: float
) -> socket.socket:
    """Connects, on any other process, to process 0 and waits for its answer."""
    until = time.monotonic() + timeout_s
    while True:
        left = until - time.monotonic()
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            peer = socket.create_connection(address, timeout=max(0.1, left))
            stack.enter_context(peer)
            _send(peer, {"specflow": 1, "index": index, "count": count})
            answer = _receive_message(peer, max(0.1, left) + _GRACE_S) or {}
            if answer.get("problem") is not None:
                raise _error(answer["problem"], answer.get("status"))
            if "problem" in answer:
                stack.pop_all()
                peer.settimeout(None)
                return peer
        if time.monotonic() >= until:
            raise _error(_absent({0}, timeout_s, where=f"{address[0]}:{address[1]}"))
        time.sleep(_RETRY_S)


@contextlib.contextmanager
def _listening(address: tuple[str, int]) -> Iterator[socket.socket]:
    host, port = address
    local = is_loopback(f"{host}:{port}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # The host name that others use need not resolve to an address of this machine,
        # and they may use an address of the other family.
        both = not local and family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        server = socket.create_server(
            (host if local else "", port), family=family, dualstack_ipv6=both
        )
    except OSError as error:
        raise _error(f"process 0 cannot listen at {host}:{port}: {error}") from error
    with server:
        yield server


def _send(peer: socket.socket, message: dict[str, Any]) -> None:
    peer.sendall(json.dumps(message).encode() + b"\n")


def _receive_message(peer: socket.socket, timeout_s: float) -> dict[str, Any] | None:
    """Reads one message; None if it is not one of specflow."""
    peer.settimeout(timeout_s)
    try:
        text = b""
        # Bytes after the line are for `failure`.
        while not text.endswith(b"\n") and len(text) < _MAX_LINE:
            byte = peer.recv(1)
            if not byte:
                break
            text += byte
    except OSError:
        return None
    return _parsed(text)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Parses a line as a JSON object; None if it is not one."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _is_ours(hello: Mapping[str, Any]) -> bool:
    """Returns whether a message is from a process: its index and their number."""
    numbers = (hello.get("index"), hello.get("count"))
    return hello.get("specflow") == 1 and all(type(value) is int for value in numbers)


def _mismatch(hello: dict[str, Any], arrived: dict[int, Any], count: int) -> str | None:
    """Describes a process that does not belong to these; None if it does."""
    index = hello.get("index")
    if hello.get("count") != count:
        return (
            f"process {index} expects {hello.get('count')} processes, and process 0 "
            f"{count}"
        )
    if index in arrived or index not in range(1, count):
        return f"two processes are process {index}"
    return None


def _absent(missing: set[int], timeout_s: float, where: str = "") -> str:
    indices = ", ".join(map(str, sorted(missing)))
    noun = "process" if len(missing) == 1 else "processes"
    at = f" at {where}" if where else ""
    return f"{noun} {indices} did not arrive{at} within {timeout_s:g} s"


def _error(problem: str, status: int | None = None) -> MachineError:
    """Makes the error that all raise: a process did not arrive, or it failed."""
    if status is not None:
        failed = MachineError(
            Diagnostic(
                "processes",
                problem,
                hint="Look at its own output.",
                code="process-lost",
            )
        )
        failed.exit_code = status
        return failed
    return MachineError(
        Diagnostic(
            "processes",
            problem,
            expected="every process to be started with the same coordinator and count",
            hint="Look at the output of the other processes; mesh.processes.timeout is "
            "how long to wait.",
            code="process-absent",
        )
    )
