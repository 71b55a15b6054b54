"""A process that fails alone tells the others, which would wait for it in vain.

Words go over JAX's coordination service: it is there before the devices are, and needs
nobody to keep step. The others may be inside a computation that never ends.
"""

import atexit
import contextlib
import os
import sys
import threading
import time
from typing import Any

from specflow import peers
from specflow.errors import Fault, MachineError, SpecflowError
from specflow.report import is_of_device, line

__all__ = ["heard", "is_on", "listen", "sound"]

_FAILED, _LEAVES = "specflow/failed", "specflow/leaves"
_POLL_S = 0.5
_GRACE_S = 2.0
"""What a process has, once it heard, to say what it has to say itself."""
_PATIENCE_S = 5.0
"""How long the first process, which has the service, stays for those that leave."""


class _Line:
    """What this process says and hears; one of several."""

    def __init__(self, client: Any, index: int, count: int):
        self._client, self.index, self.count = client, index, count
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def open(self) -> None:
        self._thread.start()
        # Before JAX leaves its service, and Python, where a thread cannot follow.
        atexit.register(self.close)

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def word(self) -> tuple[int, str] | None:
        """What the first process that failed said: its status, and why."""
        with contextlib.suppress(RuntimeError):
            status, _, why = self._client.key_value_try_get(_FAILED).partition(" ")
            return int(status), why
        return None

    def say(self, status: int, why: str) -> None:
        """Says why this process fails, unless another one has failed before it."""
        self._over.set()
        with contextlib.suppress(RuntimeError):
            self._client.key_value_set(_FAILED, f"{status} {why}")

    def speaks(self, why: str) -> bool:
        """Whether this process tells of another's failure: the first one, for all."""
        return bool(why) and self.index == 0

    def leave(self, status: int) -> None:
        """Ends this process at once: at its exit JAX would wait for all the others."""
        with contextlib.suppress(RuntimeError):
            self._client.key_value_set(f"{_LEAVES}/{self.index}", "")
            until = time.monotonic() + _PATIENCE_S
            while self.index == 0 and time.monotonic() < until:
                if len(self._client.key_value_dir_get(_LEAVES)) == self.count:
                    break
                time.sleep(_POLL_S / 10)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)

    def _listen(self) -> None:
        while not self._over.wait(_POLL_S):
            word = self.word()
            if word is not None and not self._over.wait(_GRACE_S):
                status, why = word
                if self.speaks(why):
                    print(f"\n{line(_lost(why))}", file=sys.stderr)
                self.leave(status)


_LINES: list[_Line] = []
"""The one of this process, if it is one of several."""


def listen() -> None:
    """Ends this process when another one fails, which it would wait for.

    Call it when JAX has started as one of several processes; otherwise it does nothing.
    """
    own = peers.service()
    if own.client is None or _LINES:
        return
    _LINES.append(_Line(own.client, own.process_id, own.num_processes))
    _LINES[0].open()


def is_on() -> bool:
    """Whether there are others to tell; it `listen`s.

    >>> is_on()
    False
    """
    return bool(_LINES)


def heard(error: BaseException) -> BaseException:
    """What is behind an error: that another process failed, or nothing else.

    Where another failed, this returns in the process that tells; any other ends.

    Args:
        error: of this process; what a computation says of a lost one names nobody.

    >>> heard(ValueError("got -1"))
    ValueError('got -1')
    """
    if not _LINES or not is_of_device(error):
        return error
    (own,), until = _LINES, time.monotonic() + 2 * _POLL_S
    while (word := own.word()) is None and time.monotonic() < until:
        time.sleep(_POLL_S / 10)
    if word is None:
        return error
    status, why = word
    if not own.speaks(why):
        own.leave(status)
    lost = MachineError(_lost(why))
    lost.exit_code = status
    return lost


def sound(error: BaseException | None, status: int) -> None:
    """Tells the others that this process fails, and ends it; alone, it does nothing.

    Args:
        error: why; None: nobody need be told, they just end.
        status: the exit status, of all: it says whether to start again.

    >>> sound(ValueError("got -1"), 1)
    """
    for one in _LINES:
        one.say(status, "" if error is None else _told(one.index, error))
        one.leave(status)


def _told(index: int, error: BaseException) -> str:
    ours = isinstance(error, SpecflowError)
    why = str(error) if ours else f"{type(error).__name__}: {error}"
    return f"process {index} failed: {why}"


def _lost(why: str) -> Fault:
    return Fault(
        "processes",
        why,
        mend="Look at what it says itself; started again, all go on from the newest "
        "checkpoint.",
        code="process-lost",
    )
