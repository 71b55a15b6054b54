"""`specflow launch`: several real processes on this machine, for trying them out."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO, Any

from specflow.config.mesh import COORDINATOR, COUNT, INDEX

__all__ = ["launch"]

_POLL_S = 0.05
_GRACE_S = 5.0
"""What the others have, once one failed, to say what they have to say of it."""


@dataclasses.dataclass
class _Process:
    index: int
    process: subprocess.Popen[bytes]
    output: IO[bytes] | None
    """What it says; process 0 speaks for itself."""
    was_ended: bool = False

    @property
    def status(self) -> int | None:
        """Exit status as a shell has it; None: it still runs."""
        status = self.process.poll()
        return 128 - status if status is not None and status < 0 else status

    def end(self) -> None:
        if self.status is None:
            self.was_ended = True
            self.process.kill()


def launch(words: Sequence[str], *, processes: int) -> int:
    """Runs a command as several processes, which find each other.

    What process 0 says is shown; what another one said is shown if it failed.

    Args:
        words: the command, as after `specflow`.
        processes: how many.

    Returns:
        The exit status: 0, or that of the first process that failed.
    """
    coordinator = f"127.0.0.1:{_free_port()}"
    started: list[_Process] = []
    former: dict[int, Any] = {}
    asked = []

    def pass_on(number: int, _: Any) -> None:
        asked.append(number)
        for one in started:
            if one.status is None:
                # The first wish is that they save and leave, the second one is final.
                one.process.send_signal(number if len(asked) == 1 else signal.SIGKILL)

    for number in (signal.SIGINT, signal.SIGTERM):
        former[number] = signal.signal(number, pass_on)
    try:
        for index in range(processes):
            started.append(_start(words, index, processes, coordinator))
        status = _wait(started)
    finally:
        for one in started:
            one.end()
            one.process.wait()
        for number, handler in former.items():
            signal.signal(number, handler)
    for one in started:
        if one.output is None:
            continue
        with one.output as output:
            if one.status and not one.was_ended:
                _show(one.index, output)
    return status


def _start(words: Sequence[str], index: int, count: int, coordinator: str) -> _Process:
    output = tempfile.TemporaryFile() if index else None
    environment = {
        "JAX_PLATFORMS": "cpu",  # Processes cannot share any other device.
        **os.environ,
        COORDINATOR: coordinator,
        COUNT: str(count),
        INDEX: str(index),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "specflow", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if index else None,
        # Signals of the terminal come through `launch`, once.
        start_new_session=True,
    )
    return _Process(index, process, output)


def _wait(started: Sequence[_Process]) -> int:
    """Waits until all have ended, and ends the others when one fails."""
    first, until = 0, float("inf")
    while any(one.status is None for one in started):
        failed = [one.status for one in started if one.status]
        if failed and not first:
            first, until = failed[0] or 1, time.monotonic() + _GRACE_S
        if time.monotonic() > until:
            for one in started:
                one.end()
        time.sleep(_POLL_S)
    return first or next((one.status for one in started if one.status), 0)


def _show(index: int, output: IO[bytes]) -> None:
    output.seek(0)
    for text in output.read().decode(errors="replace").splitlines():
        print(f"[{index}] {text}", file=sys.stderr)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
