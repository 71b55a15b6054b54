"""Where processes meet before JAX: it ends a process that waits in vain, unnamed."""

import contextlib
import ipaddress
import json
import selectors
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self, cast

from specflow.diagnostics.errors import Diagnostic, MachineError

__all__ = ["call_off", "is_loopback", "meet"]

_RETRY_S = 0.1
_GRACE_S = 5.0
"""How much longer than the first process the others wait: it knows who is missing."""
_LONGEST = 1 << 16
_MOST_TOLD = _LONGEST // 8
_PATIENCE_S = 10.0
"""How long a process that cannot come stays to tell those that do."""


def meet(
    coordinator: str, *, index: int, count: int, timeout_s: float
) -> dict[int, socket.socket]:
    """Returns when all processes are there.

    The first process listens, the others tell it who they are. Its port is free again
    when this returns; the connections stay, for `alarm`.

    Args:
        coordinator: `host:port` of the first process.
        index: this process.
        count: all of them.
        timeout_s: how long to wait for the others.

    Returns:
        Process -> the connection to it: in process 0 to each, in others to process 0.

    Raises:
        MachineError: a process did not come, or is not one of these; it is named.
    """
    if count == 1:
        return {}
    if index == 0:
        return _receive(_address(coordinator), count, timeout_s)
    return {0: _arrive(_address(coordinator), index, count, timeout_s)}


def call_off(
    coordinator: str, *, index: int, count: int, why: str, status: int
) -> None:
    """Tells the others, who come or wait, that this process cannot come.

    Args:
        coordinator: `host:port` of the first process.
        index: this process.
        count: all of them.
        why: what it failed of.
        status: with which they all end.
    """
    address, until = _address(coordinator), time.monotonic() + _PATIENCE_S
    why = why[:_MOST_TOLD]  # A longer line would not be read.
    with contextlib.suppress(OSError, MachineError):
        if index == 0:
            with _listening(address) as server, _Arrivals(server) as arrivals:
                answer = {"problem": why, "status": status}
                _turn_away(arrivals, set(range(1, count)), answer, until)
            return
        hello = {"specflow": 1, "index": index, "count": count, "status": status}
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                left = max(0.1, until - time.monotonic())
                with socket.create_connection(address, timeout=left) as peer:
                    _say(peer, hello | {"why": why})
                    if _heard(peer, left) is not None:
                        return
            time.sleep(_RETRY_S)


class _Arrivals:
    """The first process: those that come, in the order in which they say who they are.

    Whoever is silent holds up nobody, and what is none of ours is closed: a port can be
    found by anyone.
    """

    def __init__(self, server: socket.socket):
        self._server, self._said = server, dict[socket.socket, bytes]()
        self._selector = selectors.DefaultSelector()
        self._selector.register(server, selectors.EVENT_READ)
        server.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for peer in self._said:
            peer.close()

    def next(self, until: float) -> tuple[socket.socket, dict[str, Any]] | None:
        """A connection and what it says; None: nobody comes until then."""
        while (left := until - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                if key.fileobj is self._server:
                    with contextlib.suppress(OSError):
                        peer, _ = self._server.accept()
                        peer.setblocking(False)
                        self._selector.register(peer, selectors.EVENT_READ)
                        self._said[peer] = b""
                    continue
                peer = cast(socket.socket, key.fileobj)
                line = self._line(peer)
                if line is not None:
                    self._selector.unregister(peer)
                    del self._said[peer]
                    hello = _parsed(line)
                    if hello is not None and _is_ours(hello):
                        peer.setblocking(True)
                        return peer, hello
                    peer.close()
        return None

    def _line(self, peer: socket.socket) -> bytes | None:
        """The line that a connection says, or what there was of it at its end; None: it
        has more to say. What comes after the line is for `alarm`.
        """
        try:
            while not self._said[peer].endswith(b"\n"):
                byte = peer.recv(1)
                if not byte or len(self._said[peer]) >= _LONGEST:
                    break
                self._said[peer] += byte
        except BlockingIOError:
            return None
        except OSError:
            return b""
        return self._said[peer]


def _turn_away(
    arrivals: _Arrivals, missing: set[Any], answer: dict[str, Any], until: float
) -> None:
    """The first process: answers those that are still to come, but not for long."""
    while missing and (arrival := arrivals.next(until)) is not None:
        peer, hello = arrival
        with peer, contextlib.suppress(OSError):
            _say(peer, answer)
            missing.discard(hello["index"])


def is_loopback(coordinator: str) -> bool:
    """Whether the processes are all on this machine.

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


def _receive(
    address: tuple[str, int], count: int, timeout_s: float
) -> dict[int, socket.socket]:
    """The first process: waits for the others, then sends them on."""
    with contextlib.ExitStack() as stack:
        there: dict[int, socket.socket] = {}
        until = time.monotonic() + timeout_s
        diagnostic, status = None, None
        with _listening(address) as server, _Arrivals(server) as arrivals:
            while diagnostic is None and len(there) < count - 1:
                arrival = arrivals.next(until)
                if arrival is None:
                    diagnostic = _absent(set(range(1, count)) - set(there), timeout_s)
                    break
                peer, hello = arrival
                stack.enter_context(peer)
                diagnostic = _stranger(hello, there, count) or hello.get("why")
                status = hello.get("status")
                there.setdefault(hello["index"], peer)
            answer = {"problem": diagnostic, "status": status}
            if status is not None:
                missing = set(range(1, count)) - set(there)
                patience = time.monotonic() + _PATIENCE_S
                _turn_away(arrivals, missing, answer, patience)
        for peer in there.values():
            with contextlib.suppress(OSError):
                _say(peer, answer)
                peer.settimeout(None)
        if diagnostic is not None:
            raise _error(diagnostic, status)
        stack.pop_all()
        return there


def _arrive(
    address: tuple[str, int], index: int, count: int, timeout_s: float
) -> socket.socket:
    """Any other process: tells the first one that it is there, and waits."""
    until = time.monotonic() + timeout_s
    while True:
        left = until - time.monotonic()
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            peer = socket.create_connection(address, timeout=max(0.1, left))
            stack.enter_context(peer)
            _say(peer, {"specflow": 1, "index": index, "count": count})
            answer = _heard(peer, max(0.1, left) + _GRACE_S) or {}
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
        # The name by which others know this machine need not be one of its addresses,
        # and they may know one of the other family.
        both = not local and family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        server = socket.create_server(
            (host if local else "", port), family=family, dualstack_ipv6=both
        )
    except OSError as error:
        raise _error(f"process 0 cannot listen at {host}:{port}: {error}") from error
    with server:
        yield server


def _say(peer: socket.socket, message: dict[str, Any]) -> None:
    peer.sendall(json.dumps(message).encode() + b"\n")


def _heard(peer: socket.socket, timeout_s: float) -> dict[str, Any] | None:
    """The line that the other side says, if it is one of ours."""
    peer.settimeout(timeout_s)
    try:
        text = b""
        # What comes after the line is for `alarm`.
        while not text.endswith(b"\n") and len(text) < _LONGEST:
            byte = peer.recv(1)
            if not byte:
                break
            text += byte
    except OSError:
        return None
    return _parsed(text)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line of JSON; None: it is none."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _is_ours(hello: Mapping[str, Any]) -> bool:
    """Whether a process says it: who it is, of how many."""
    numbers = (hello.get("index"), hello.get("count"))
    return hello.get("specflow") == 1 and all(type(each) is int for each in numbers)


def _stranger(hello: dict[str, Any], there: dict[int, Any], count: int) -> str | None:
    index = hello.get("index")
    if hello.get("count") != count:
        return (
            f"process {index} expects {hello.get('count')} processes, and process 0 "
            f"{count}"
        )
    if index in there or index not in range(1, count):
        return f"two processes are process {index}"
    return None


def _absent(missing: set[int], timeout_s: float, where: str = "") -> str:
    who = ", ".join(map(str, sorted(missing)))
    noun = "process" if len(missing) == 1 else "processes"
    at = f" at {where}" if where else ""
    return f"{noun} {who} did not come{at} within {timeout_s:g} s"


def _error(problem: str, status: int | None = None) -> MachineError:
    """The error of all: a process did not come, or it failed with an exit status."""
    if status is not None:
        failed = MachineError(
            Diagnostic(
                "processes",
                problem,
                hint="Look at what it says itself.",
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
            hint="Look at what the other processes say; mesh.processes.timeout is how "
            "long to wait.",
            code="process-absent",
        )
    )
