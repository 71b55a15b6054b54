"""Failure detection: a failed or lost process ends the others, which would hang.

Each process has a connection to process 0, kept from the rendezvous before JAX is
initialized. A process that fails sends its error; the connection of a killed one ends.
The others may be inside a computation that waits for it forever.
"""

import atexit
import contextlib
import dataclasses
import json
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from specflow.diagnostics.errors import MACHINE, Diagnostic, MachineError, SpecflowError
from specflow.diagnostics.rendering import is_of_device, line
from specflow.distributed import launcher_link

__all__ = [
    "is_listening",
    "listen",
    "notify_and_exit",
    "record_step",
    "root_cause",
]

_GRACE_S = 2.0
"""Time a process has to report its own error after another one failed."""
_PATIENCE_S = 5.0
"""Seconds that a process whose computation failed waits for another one's failure, and
that process 0, which runs JAX's service, waits for the others to end."""
_EXIT_S = 20.0
"""Seconds that a process at its exit waits for the others to reach theirs."""
_CHUNK = 1 << 16
"""Bytes read at a time."""
_ALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}
"""Keep-alive settings, since a lost machine does not close its connections: detects it
before JAX does, which takes 100 seconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Failure:
    """The failure of the first process that failed or was lost."""

    status: int
    """Exit status of all processes; tells a launcher whether to restart."""
    why: str
    """The problem; empty if there is nothing to report."""
    lost: bool = False
    """True if the process could not report it itself."""


class _Monitor:
    """Sends and receives failures over the connections of this process."""

    def __init__(self, index: int, links: Mapping[int, socket.socket]):
        self.index, self.step = index, 0
        self._links = dict(links)
        self._received = dict.fromkeys(links, b"")
        self._waker, self._wakes = socket.socketpair()
        self._received_failure, self._over = threading.Event(), threading.Event()
        self._failure: _Failure | None = None
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def open(self) -> None:
        for link in self._links.values():
            link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _ALIVE.items():
                with contextlib.suppress(AttributeError, OSError):
                    link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        # The connection must end with this process, not with its last worker.
        os.register_at_fork(after_in_child=self._drop)
        self._thread.start()
        # Before JAX disconnects from its service and Python joins threads.
        atexit.register(self.close)

    def close(self) -> None:
        """Waits for all processes to close, so that one lost until then is named.

        JAX would wait for a lost one, and then abort. After a time-out this process
        closes anyway: it may have failed itself while the others wait for it.
        """
        if self.index:
            self._send({"over": True})
            self._thread.join(_EXIT_S)
        else:
            self._thread.join(_EXIT_S)
            self._send({"over": True})
        self._over.set()
        self._waker.close()
        self._thread.join()

    def failure(self, timeout_s: float) -> _Failure | None:
        """Waits for another process's failure."""
        self._received_failure.wait(timeout_s)
        return self._failure

    def take_over(self) -> None:
        """Leaves ending this process to the caller, not the listening thread."""
        self._over.set()

    def fail(self, failure: _Failure) -> None:
        """Sends this process's failure, unless another one failed first."""
        self.take_over()
        if self._failure is None:
            self._send(dataclasses.asdict(failure))

    def reports(self, failure: _Failure) -> bool:
        """True if this process reports another one's failure.

        Process 0 reports a failure for all; every process reports a lost one.
        """
        return bool(failure.why) and (failure.lost or self.index == 0)

    def exit(self, status: int) -> None:
        """Ends this process at once: at a normal exit JAX would wait for the others."""
        until = time.monotonic() + _PATIENCE_S
        for link in self._links.values() if self.index == 0 else ():
            with contextlib.suppress(OSError):
                link.settimeout(max(0.01, until - time.monotonic()))
                while link.recv(_CHUNK):
                    pass
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wakes, selectors.EVENT_READ)
            for index, link in self._links.items():
                selector.register(link, selectors.EVENT_READ, index)
            present = set(self._links)  # Processes that have not closed yet.
            while self._failure is None:
                if not present:
                    return
                for key, _ in selector.select():
                    if self._over.is_set():
                        return
                    if self._receive(key.data):
                        selector.unregister(key.fileobj)
                        present.discard(key.data)
                    if self._failure is not None:
                        break
        failure = self._failure
        self._received_failure.set()
        if not self._over.wait(_GRACE_S):
            if self.reports(failure):
                print(f"\n{line(self.diagnostic(failure))}", file=sys.stderr)
            self.exit(failure.status)

    def _receive(self, index: int) -> bool:
        """Reads messages of process `index`; returns True after the last one."""
        try:
            data = self._links[index].recv(_CHUNK)
        except OSError:
            data = b""
        *lines, self._received[index] = (self._received[index] + data).split(b"\n")
        messages = [json.loads(text) for text in lines]
        is_over = any("over" in message for message in messages)
        failures = [
            _Failure(**message) for message in messages if "over" not in message
        ]
        if not data and not is_over:
            failures.append(_Failure(MACHINE, f"process {index} was lost", lost=True))
        if failures:
            self._failure = failures[0]
            # Only process 0 is connected to every process.
            self._send(dataclasses.asdict(failures[0]), but=index)
        return is_over or not data

    def _send(self, message: dict[str, Any], but: int | None = None) -> None:
        for index, link in self._links.items():
            if index != but:
                with contextlib.suppress(OSError):
                    link.sendall(json.dumps(message).encode() + b"\n")

    def _drop(self) -> None:
        for link in self._links.values():
            link.close()

    def diagnostic(self, failure: _Failure) -> Diagnostic:
        """Describes another process's failure."""
        why, hint = failure.why, "Look at its own output"
        if failure.lost:
            step = f" The last step seen here is {self.step}." if self.step else ""
            why += f": its connection ended without a report.{step}"
            hint = "Find out what ended it (often: the system, out of memory)"
        return Diagnostic(
            "processes",
            why,
            hint=f"{hint}; a restart resumes from the newest checkpoint.",
            code="process-lost",
        )


_MONITORS: list[_Monitor] = []
"""The monitor of this process, if it is one of several."""


def listen(index: int, links: Mapping[int, socket.socket]) -> None:
    """Starts to listen for failures: ends this process when another one fails.

    Args:
        index: of this process.
        links: connections by process index; process 0 has one to each, the others to
            process 0.
    """
    _MONITORS.append(_Monitor(index, links))
    _MONITORS[0].open()


def is_listening() -> bool:
    """Returns whether this process `listen`s, so is one of several.

    >>> is_listening()
    False
    """
    return bool(_MONITORS)


def record_step(step: int) -> None:
    """Records the last completed step, for messages about a lost process.

    >>> record_step(12)
    """
    for monitor in _MONITORS:
        monitor.step = step
    launcher_link.report(step=step)


def root_cause(error: BaseException) -> BaseException:
    """Returns another process's failure if it caused an error, else the error.

    Errors of a computation do not name the lost process. If another process failed and
    this one does not report it, this one ends here.

    Args:
        error: of this process.

    >>> root_cause(ValueError("got -1"))
    ValueError('got -1')
    """
    if not _MONITORS or not is_of_device(error):
        return error
    (own,) = _MONITORS
    failure = own.failure(_PATIENCE_S)
    if failure is None:
        return error
    own.take_over()
    if not own.reports(failure):
        own.exit(failure.status)
    machine_error = MachineError(own.diagnostic(failure))
    machine_error.exit_code = failure.status
    return machine_error


def notify_and_exit(error: BaseException | None, status: int) -> None:
    """Sends this process's failure to the others and exits; a no-op with one process.

    Args:
        error: the reason; None: the others exit without a report.
        status: exit status of all processes; tells a launcher whether to restart.

    >>> notify_and_exit(ValueError("got -1"), 1)
    """
    for monitor in _MONITORS:
        why = "" if error is None else _message(monitor.index, error)
        monitor.fail(_Failure(status, why))
        monitor.exit(status)


def _message(index: int, error: BaseException) -> str:
    is_own = isinstance(error, SpecflowError)
    why = str(error) if is_own else f"{type(error).__name__}: {error}"
    return f"process {index} failed: {why}"
