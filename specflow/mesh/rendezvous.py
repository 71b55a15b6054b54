"""Where processes meet before JAX: it ends a process that waits in vain, unnamed."""

import contextlib
import ipaddress
import json
import selectors
import socket
import time
from collections.abc import Iterator
from typing import Any

from specflow.errors import Fault, MachineError

__all__ = ["is_loopback", "meet"]

_RETRY_S = 0.1
_GRACE_S = 5.0
"""How much longer than the first process the others wait: it knows who is missing."""


def meet(coordinator: str, *, index: int, count: int, timeout_s: float) -> None:
    """Returns when all processes are there.

    The first process listens, the others tell it who they are. Its port is free again
    when this returns.

    Args:
        coordinator: `host:port` of the first process.
        index: this process.
        count: all of them.
        timeout_s: how long to wait for the others.

    Raises:
        MachineError: a process did not come, or is not one of these; it is named.
    """
    if count == 1:
        return
    host, _, port = coordinator.rpartition(":")
    address = host.strip("[]"), int(port)
    if index == 0:
        _receive(address, count, timeout_s)
    else:
        _arrive(address, index, count, timeout_s)


def is_loopback(coordinator: str) -> bool:
    """Whether the processes are all on this machine.

    >>> is_loopback("127.0.0.1:4000"), is_loopback("node1:4000")
    (True, False)
    """
    host = coordinator.rpartition(":")[0].strip("[]")
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _receive(address: tuple[str, int], count: int, timeout_s: float) -> None:
    """The first process: waits for the others, then sends them on."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_listening(address))
        selector = stack.enter_context(selectors.DefaultSelector())
        selector.register(server, selectors.EVENT_READ)
        there: dict[int, Any] = {}
        until = time.monotonic() + timeout_s
        fault = None
        while fault is None and len(there) < count - 1:
            left = until - time.monotonic()
            if left <= 0 or not selector.select(left):
                fault = _absent(set(range(1, count)) - set(there), timeout_s)
                break
            peer, _ = server.accept()
            stack.enter_context(peer)
            hello = _heard(peer, max(0.1, left))
            if hello is None:
                continue  # Whatever knocks at a port and is no process of ours.
            fault = _stranger(hello, there, count)
            there.setdefault(hello.get("index", -1), peer)
        for peer in there.values():
            with contextlib.suppress(OSError):
                _say(peer, {"problem": fault})
    if fault is not None:
        raise _error(fault)


def _arrive(address: tuple[str, int], index: int, count: int, timeout_s: float) -> None:
    """Any other process: tells the first one that it is there, and waits."""
    until = time.monotonic() + timeout_s
    while True:
        left = until - time.monotonic()
        try:
            with socket.create_connection(address, timeout=max(0.1, left)) as peer:
                _say(peer, {"specflow": 1, "index": index, "count": count})
                answer = _heard(peer, max(0.1, left) + _GRACE_S)
        except OSError:
            answer = None
        if answer is not None and "problem" in answer:
            if answer["problem"] is not None:
                raise _error(answer["problem"])
            return
        if time.monotonic() >= until:
            raise _error(_absent({0}, timeout_s, where=f"{address[0]}:{address[1]}"))
        time.sleep(_RETRY_S)


@contextlib.contextmanager
def _listening(address: tuple[str, int]) -> Iterator[socket.socket]:
    host, port = address
    local = is_loopback(f"{host}:{port}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # The name by which others know this machine need not be one of its addresses.
        server = socket.create_server((host if local else "", port), family=family)
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
        with peer.makefile("rb") as lines:
            said = json.loads(lines.readline(4096))
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


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


def _error(problem: str) -> MachineError:
    return MachineError(
        Fault(
            "processes",
            problem,
            expected="every process to be started with the same coordinator and count",
            mend="Look at what the other processes say; mesh.processes.timeout is how "
            "long to wait.",
            code="process-absent",
        )
    )
