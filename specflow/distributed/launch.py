"""`specflow launch`: several real processes on this machine, for trying them out."""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO, Any

from specflow.config.sections.mesh import COORDINATOR, COUNT, INDEX
from specflow.diagnostics.errors import MACHINE, Diagnostic
from specflow.diagnostics.rendering import line
from specflow.distributed import launcher_link

__all__ = ["launch"]

_POLL_S = 0.05
_GRACE_S = 10.0
"""What the others have, once one failed, to say what they have to say of it."""
_MOST = 1 << 16
_OF_MEMORY = " (often: out of memory)"
_DIRECTORY = "output.dir="


@dataclasses.dataclass
class _Process:
    index: int
    process: subprocess.Popen[bytes]
    output: IO[bytes] | None
    """What it says; process 0 speaks for itself."""
    connection: socket.socket
    """Ends with the launcher, which the process watches; it reports on it."""
    was_ended: bool = False
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What it reported: `start`, `step`, `directory`, `mistake`."""
    received: bytes = b""

    @property
    def status(self) -> int | None:
        """Exit status as a shell has it; None: it still runs."""
        status = self.process.poll()
        return 128 - status if status is not None and status < 0 else status

    @property
    def signal(self) -> signal.Signals | None:
        """By which signal it was killed, if neither the launcher nor the user did."""
        status = self.process.poll()
        if self.was_ended or status is None or status >= 0:
            return None
        return signal.Signals(-status)

    def end(self) -> None:
        if self.status is None:
            self.was_ended = True
            self.process.kill()

    def listen(self) -> None:
        """Takes in what it has reported."""
        with contextlib.suppress(OSError):
            while data := self.connection.recv(_MOST, socket.MSG_DONTWAIT):
                *messages, self.received = (self.received + data).split(b"\n")
                for message in messages:
                    self.facts |= json.loads(message)

    def killed(self) -> Diagnostic | None:
        """The report of a process that could not make one itself."""
        by = self.signal
        if by is None:
            return None
        often = _OF_MEMORY if by is signal.SIGKILL else ""
        step = self.facts.get("step")
        when = "before its first step" if step is None else f"after step {step}"
        return Diagnostic(
            f"process {self.index}",
            f"was killed by {by.name}{often} {when}; its status is {self.status}",
            hint="The same command resumes from the newest checkpoint.",
            code="process-lost",
        )


def launch(
    words: Sequence[str],
    *,
    processes: int,
    restarts: int = 0,
    program: Sequence[str] = ("-m", "specflow"),
) -> int:
    """Runs a command as several processes, which find each other.

    What process 0 says is shown; what another one said is shown if it failed.

    Args:
        words: the command, as after `specflow`.
        processes: how many.
        restarts: how often all are started again after a failure of the machine,
            without a newer checkpoint in between.
        program: what Python runs, before the words.

    Returns:
        The exit status: 0, or that of the first process that failed.
    """
    words, made, start = list(words), 0, -1
    while True:
        started, asked = _run([*program, *words], processes)
        status = _first_failed(started)
        facts = started[0].facts
        if facts.get("start", -1) > start:
            made, start = 0, facts["start"]
        if asked or made >= restarts or not _is_of_machine(started, status):
            return status
        made += 1
        if "directory" in facts and not any(w.startswith(_DIRECTORY) for w in words):
            words.append(f"{_DIRECTORY}{_quoted(facts['directory'])}")
        print(f"restart {made} of {restarts}, after status {status}", file=sys.stderr)


def _run(words: Sequence[str], processes: int) -> tuple[list[_Process], bool]:
    """Starts all, waits for all; whether a signal asked them to stop."""
    coordinator = f"127.0.0.1:{_free_port()}"
    started: list[_Process] = []
    former: dict[int, Any] = {}
    asked = []

    def pass_on(number: int, _: Any) -> None:
        asked.append(number)
        for one in started:
            # The first wish is that they save and leave, the second one is final.
            if len(asked) > 1:
                one.end()
            elif one.status is None:
                one.process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        former[number] = signal.signal(number, pass_on)
    try:
        for index in range(processes):
            started.append(_start(words, index, processes, coordinator))
        _wait(started)
    finally:
        for one in started:
            one.end()
            one.process.wait()
            one.listen()
            one.connection.close()
        for number, handler in former.items():
            signal.signal(number, handler)
    killed = (
        [] if asked else [diagnostic for one in started if (diagnostic := one.killed())]
    )
    mistakes = {started[0].facts.get("mistake")} if started else set()
    for one in started:
        if one.output is None:
            continue
        # All have the same config: what is wrong with it is printed once.
        mistake = one.facts.get("mistake")
        is_printed = mistake is not None and mistake in mistakes
        mistakes.add(mistake)
        with one.output as output:
            # What the others say of one that was killed, is said here.
            is_known = one.status == MACHINE and killed
            if one.status and not (one.was_ended or is_known or is_printed):
                _show(one.index, output)
    for diagnostic in killed:
        print(line(diagnostic), file=sys.stderr)
    return started, bool(asked)


def _start(words: Sequence[str], index: int, count: int, coordinator: str) -> _Process:
    output = tempfile.TemporaryFile() if index else None
    connection, end = socket.socketpair()
    environment = {
        "JAX_PLATFORMS": "cpu",  # Processes cannot share any other device.
        **os.environ,
        COORDINATOR: coordinator,
        COUNT: str(count),
        INDEX: str(index),
        launcher_link.VARIABLE: str(end.fileno()),
    }
    with end:
        process = subprocess.Popen(
            [sys.executable, *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if index else None,
            pass_fds=[end.fileno()],
            # Signals of the terminal come through `launch`, once.
            start_new_session=True,
        )
    return _Process(index, process, output, connection)


def _wait(started: Sequence[_Process]) -> None:
    """Waits until all have ended, and ends the others when one fails."""
    until = float("inf")
    while any(one.status is None for one in started):
        for one in started:
            one.listen()
        if any(one.status for one in started):
            until = min(until, time.monotonic() + _GRACE_S)
        if time.monotonic() > until:
            for one in started:
                one.end()
        time.sleep(_POLL_S)


def _first_failed(started: Sequence[_Process]) -> int:
    """Its exit status; what is killed ends the others, which then have another one."""
    failed = [one for one in started if one.status]
    failed.sort(key=lambda one: (one.was_ended, one.signal is None))
    return next((one.status or 0 for one in failed), 0)


def _is_of_machine(started: Sequence[_Process], status: int) -> bool:
    """Whether the same command may succeed when it is started again."""
    # A signal that did not come through `launch` is that of a system, which wants the
    # machine for others: what saved and left may go on.
    stopped = 128 + signal.SIGTERM
    return status in (MACHINE, stopped) or any(one.signal for one in started)


def _quoted(value: str) -> str:
    """A value of an override, whatever is in it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _show(index: int, output: IO[bytes]) -> None:
    output.seek(0)
    for text in output.read().decode(errors="replace").splitlines():
        print(f"[{index}] {text}", file=sys.stderr)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
