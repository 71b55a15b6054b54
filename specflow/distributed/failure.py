"""A process that fails, or is lost, ends the others, which would wait for it in vain.

Each process has a connection to process 0, from where they met before JAX started. A
process that fails says so on it; one that is killed cannot, but its connection ends.
The others may be inside a computation that never ends.
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

__all__ = ["heard", "is_on", "listen", "reached", "sound"]

_GRACE_S = 2.0
"""What a process has, once it heard, to say what it has to say itself."""
_PATIENCE_S = 5.0
"""How long a process whose computation failed waits to hear of another one's failure;
how long process 0, which has JAX's service, stays for the others to end."""
_LEAVING_S = 20.0
"""How long a process at its exit waits for the others to come to theirs."""
_MOST = 1 << 16
_ALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}
"""A machine that is gone closes no connection. It is missed before JAX misses it, which
takes 100 seconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Failure:
    """What the first process that failed said, or what is said of one that is lost."""

    status: int
    """The exit status of all: it says whether to start again."""
    why: str
    """Empty: there is nothing to report."""
    lost: bool = False
    """Whether it cannot report it itself."""


class _Line:
    """What this process says and hears; one of several."""

    def __init__(self, index: int, links: Mapping[int, socket.socket]):
        self.index, self.step = index, 0
        self._links = dict(links)
        self._received = dict.fromkeys(links, b"")
        self._waker, self._wakes = socket.socketpair()
        self._heard, self._over = threading.Event(), threading.Event()
        self._failure: _Failure | None = None
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def open(self) -> None:
        for link in self._links.values():
            link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _ALIVE.items():
                with contextlib.suppress(AttributeError, OSError):
                    link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        # The connection has to end with this process, and not with its last worker.
        os.register_at_fork(after_in_child=self._drop)
        self._thread.start()
        # Before JAX leaves its service, and Python, where a thread cannot follow.
        atexit.register(self.close)

    def close(self) -> None:
        """Leaves in order, once all do: one that is lost until then is still named.

        JAX would wait for it, and then abort. After a while this process leaves alone:
        it may be one that failed, and the others wait for it.
        """
        if self.index:
            self._say({"over": True})
            self._thread.join(_LEAVING_S)
        else:
            self._thread.join(_LEAVING_S)
            self._say({"over": True})
        self._over.set()
        self._waker.close()
        self._thread.join()

    def failure(self, timeout_s: float) -> _Failure | None:
        """What another process failed of, once it is known."""
        self._heard.wait(timeout_s)
        return self._failure

    def take_over(self) -> None:
        """Has the calling thread end this process, and not the one that listens."""
        self._over.set()

    def fail(self, failure: _Failure) -> None:
        """Tells the others that this process fails, unless another did before it."""
        self.take_over()
        if self._failure is None:
            self._say(dataclasses.asdict(failure))

    def speaks(self, failure: _Failure) -> bool:
        """Whether this process reports another's failure: process 0 does, for all; of
        one that is lost each does.
        """
        return bool(failure.why) and (failure.lost or self.index == 0)

    def leave(self, status: int) -> None:
        """Ends this process at once: at its exit JAX would wait for all the others."""
        until = time.monotonic() + _PATIENCE_S
        for link in self._links.values() if self.index == 0 else ():
            with contextlib.suppress(OSError):
                link.settimeout(max(0.01, until - time.monotonic()))
                while link.recv(_MOST):
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
            present = set(self._links)  # Those that have not said that it is over.
            while self._failure is None:
                if not present:
                    return
                for key, _ in selector.select():
                    if self._over.is_set():
                        return
                    if self._hear(key.data):
                        selector.unregister(key.fileobj)
                        present.discard(key.data)
                    if self._failure is not None:
                        break
        failure = self._failure
        self._heard.set()
        if not self._over.wait(_GRACE_S):
            if self.speaks(failure):
                print(f"\n{line(self.lost(failure))}", file=sys.stderr)
            self.leave(failure.status)

    def _hear(self, index: int) -> bool:
        """Reads what process `index` says; whether that was its last word."""
        try:
            data = self._links[index].recv(_MOST)
        except OSError:
            data = b""
        *lines, self._received[index] = (self._received[index] + data).split(b"\n")
        words = [json.loads(each) for each in lines]
        is_over = any("over" in word for word in words)
        failures = [_Failure(**word) for word in words if "over" not in word]
        if not data and not is_over:
            failures.append(_Failure(MACHINE, f"process {index} was lost", lost=True))
        if failures:
            self._failure = failures[0]
            # Process 0 alone has a connection to each.
            self._say(dataclasses.asdict(failures[0]), but=index)
        return is_over or not data

    def _say(self, word: dict[str, Any], but: int | None = None) -> None:
        for index, link in self._links.items():
            if index != but:
                with contextlib.suppress(OSError):
                    link.sendall(json.dumps(word).encode() + b"\n")

    def _drop(self) -> None:
        for link in self._links.values():
            link.close()

    def lost(self, failure: _Failure) -> Diagnostic:
        """The report of another process's failure."""
        why, hint = failure.why, "Look at what it says itself"
        if failure.lost:
            step = f" The last step seen here is {self.step}." if self.step else ""
            why += f": its connection ended, and it said nothing.{step}"
            hint = "Look at what ended it (often: the system, for want of memory)"
        return Diagnostic(
            "processes",
            why,
            hint=f"{hint}; started again, all go on from the newest checkpoint.",
            code="process-lost",
        )


_LINES: list[_Line] = []
"""The one of this process, if it is one of several."""


def listen(index: int, links: Mapping[int, socket.socket]) -> None:
    """Ends this process when another one fails or is lost, which it would wait for.

    Args:
        index: this process.
        links: connections; process 0 has one to each, the others to process 0.
    """
    _LINES.append(_Line(index, links))
    _LINES[0].open()


def is_on() -> bool:
    """Whether there are others to tell; it `listen`s.

    >>> is_on()
    False
    """
    return bool(_LINES)


def reached(step: int) -> None:
    """Notes the last step that is done, for messages about a process that is lost.

    >>> reached(12)
    """
    for one in _LINES:
        one.step = step
    launcher_link.report(step=step)


def heard(error: BaseException) -> BaseException:
    """What is behind an error: that another process failed, or nothing else.

    Where another failed, this returns in a process that tells; any other ends.

    Args:
        error: of this process; what a computation says of a lost one names nobody.

    >>> heard(ValueError("got -1"))
    ValueError('got -1')
    """
    if not _LINES or not is_of_device(error):
        return error
    (own,) = _LINES
    failure = own.failure(_PATIENCE_S)
    if failure is None:
        return error
    own.take_over()
    if not own.speaks(failure):
        own.leave(failure.status)
    lost = MachineError(own.lost(failure))
    lost.exit_code = failure.status
    return lost


def sound(error: BaseException | None, status: int) -> None:
    """Tells the others that this process fails, and ends it; alone, it does nothing.

    Args:
        error: why; None: nobody need be told, they just end.
        status: the exit status, of all: it says whether to start again.

    >>> sound(ValueError("got -1"), 1)
    """
    for one in _LINES:
        one.fail(_Failure(status, "" if error is None else _told(one.index, error)))
        one.leave(status)


def _told(index: int, error: BaseException) -> str:
    ours = isinstance(error, SpecflowError)
    why = str(error) if ours else f"{type(error).__name__}: {error}"
    return f"process {index} failed: {why}"
