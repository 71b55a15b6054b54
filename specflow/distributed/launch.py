"""`specflow launch`: runs a command as several processes on this machine."""

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
from specflow.runtime.signal_handlers import signal_handlers

__all__ = ["launch"]

_POLL_S = 0.05
_GRACE_S = 10.0
"""Time the other processes have to report and exit after one failed."""
_CHUNK = 1 << 16
"""Bytes read at a time."""
_OUT_OF_MEMORY = " (often: out of memory)"
_DIRECTORY = "output.dir="


@dataclasses.dataclass
class _Process:
    index: int
    popen: subprocess.Popen[bytes]
    output: IO[bytes] | None
    """Captured output; None for process 0, whose output is shown."""
    connection: socket.socket
    """Carries reports; its end tells the process that the launcher has ended."""
    was_ended: bool = False
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Reported facts: `start`, `step`, `directory`, `mistake`."""
    received: bytes = b""

    @property
    def status(self) -> int | None:
        """Exit status as in a shell; None while it runs."""
        status = self.popen.poll()
        return 128 - status if status is not None and status < 0 else status

    @property
    def signal(self) -> signal.Signals | None:
        """The signal that killed it, unless the launcher or the user sent it."""
        status = self.popen.poll()
        if self.was_ended or status is None or status >= 0:
            return None
        return signal.Signals(-status)

    def end(self) -> None:
        if self.status is None:
            self.was_ended = True
            self.popen.kill()

    def listen(self) -> None:
        """Reads its reports."""
        with contextlib.suppress(OSError):
            while data := self.connection.recv(_CHUNK, socket.MSG_DONTWAIT):
                *messages, self.received = (self.received + data).split(b"\n")
                for message in messages:
                    self.facts |= json.loads(message)

    def killed(self) -> Diagnostic | None:
        """Describes a process that was killed, which could not report it itself."""
        killer = self.signal
        if killer is None:
            return None
        often = _OUT_OF_MEMORY if killer is signal.SIGKILL else ""
        step = self.facts.get("step")
        when = "before its first step" if step is None else f"after step {step}"
        return Diagnostic(
            f"process {self.index}",
            f"was killed by {killer.name}{often} {when}; its status is {self.status}",
            hint="The same command resumes from the newest checkpoint.",
            code="process-lost",
        )


def launch(
    arguments: Sequence[str],
    *,
    processes: int,
    restarts: int = 0,
    program: Sequence[str] = ("-m", "specflow"),
) -> int:
    """Runs a command as several processes, which rendezvous with each other.

    The output of process 0 is shown; that of another process is shown if it failed.

    Args:
        arguments: of the command, as after `specflow`.
        processes: number of processes.
        restarts: how often all are restarted after a machine failure without a newer
            checkpoint in between.
        program: arguments of Python that run specflow.

    Returns:
        The exit status: 0, that of the first process that failed, or 128 plus the
        number of a second signal, which ends them at once.
    """
    arguments, restarted, start = list(arguments), 0, -1
    while True:
        started, signals = _run([*program, *arguments], processes)
        status = _first_failed(started)
        if len(signals) > 1:  # It has ended what did not stop by itself.
            return 128 + signals[-1]
        facts = started[0].facts
        if facts.get("start", -1) > start:
            restarted, start = 0, facts["start"]
        if signals or restarted >= restarts or not _is_of_machine(started, status):
            return status
        restarted += 1
        if "directory" in facts and not any(
            argument.startswith(_DIRECTORY) for argument in arguments
        ):
            arguments.append(f"{_DIRECTORY}{_quoted(facts['directory'])}")
        print(
            f"restart {restarted} of {restarts}, after status {status}", file=sys.stderr
        )


def _run(arguments: Sequence[str], processes: int) -> tuple[list[_Process], list[int]]:
    """Starts all processes and waits for them.

    Returns:
        The processes, and the signals that this process got.
    """
    coordinator = f"127.0.0.1:{_free_port()}"
    started: list[_Process] = []
    signals: list[int] = []

    def pass_on(number: int) -> None:
        signals.append(number)
        for process in started:
            # The first signal makes them save and exit, the second ends them.
            if len(signals) > 1:
                process.end()
            elif process.status is None:
                process.popen.send_signal(number)

    with signal_handlers(pass_on):
        try:
            for index in range(processes):
                started.append(_start(arguments, index, processes, coordinator))
            _wait(started)
        finally:
            for process in started:
                process.end()
                process.popen.wait()
                process.listen()
                process.connection.close()
    killed = (
        []
        if signals
        else [diagnostic for process in started if (diagnostic := process.killed())]
    )
    mistakes = {started[0].facts.get("mistake")} if started else set()
    for process in started:
        if process.output is None:
            continue
        # All have the same config: an error in it is printed once.
        mistake = process.facts.get("mistake")
        is_printed = mistake is not None and mistake in mistakes
        mistakes.add(mistake)
        with process.output as output:
            # That one was killed is reported below, once for all.
            is_known = process.status == MACHINE and killed
            if process.status and not (process.was_ended or is_known or is_printed):
                _show(process.index, output)
    for diagnostic in killed:
        print(line(diagnostic), file=sys.stderr)
    return started, signals


def _start(
    arguments: Sequence[str], index: int, count: int, coordinator: str
) -> _Process:
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
        popen = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if index else None,
            pass_fds=[end.fileno()],
            # Signals of the terminal are forwarded by `launch`, once.
            start_new_session=True,
        )
    return _Process(index, popen, output, connection)


def _wait(started: Sequence[_Process]) -> None:
    """Waits until all have ended; ends the others some time after one failed."""
    until = float("inf")
    while any(process.status is None for process in started):
        for process in started:
            process.listen()
        if any(process.status for process in started):
            until = min(until, time.monotonic() + _GRACE_S)
        if time.monotonic() > until:
            for process in started:
                process.end()
        time.sleep(_POLL_S)


def _first_failed(started: Sequence[_Process]) -> int:
    """Returns the exit status of the first failed process, or 0.

    A killed process comes first: it makes the others fail with another status.
    """
    failed = [process for process in started if process.status]
    failed.sort(key=lambda process: (process.was_ended, process.signal is None))
    return next((process.status or 0 for process in failed), 0)


def _is_of_machine(started: Sequence[_Process], status: int) -> bool:
    """Returns whether the same command may succeed after a restart."""
    # A signal that did not come through `launch` is a preemption by the system: a
    # process that saved and exited may resume.
    stopped = 128 + signal.SIGTERM
    return status in (MACHINE, stopped) or any(process.signal for process in started)


def _quoted(value: str) -> str:
    """Quotes the value of an override."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _show(index: int, output: IO[bytes]) -> None:
    output.seek(0)
    for text in output.read().decode(errors="replace").splitlines():
        print(f"[{index}] {text}", file=sys.stderr)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
