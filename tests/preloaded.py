"""Starts Python programs in processes that have imported what specflow needs.

Importing takes most of the time of a short run. Here, one process of each worker of
pytest imports, and forks for each program that is started: what begins then is a
process of its own, with its own arguments, variables, folder and streams, which the
tests wait for, kill and read as any other. What a start itself does (which modules it
imports, in which order, under which seed of hashes) is tested with real starts.
"""

import array
import atexit
import ctypes
import functools
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Preloaded", "run"]

SERVER = Path(__file__).with_name("preloading_server.py")
_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2): orphans become children of this process."""
_ONE_AT_A_TIME = threading.Lock()
_READ_WHEN_IMPORTED = ("JAX", "XLA", "PYTHON", "TF_", "OMP_", "OPENBLAS_", "LD_")
"""Beginnings of variables that are read once: each value has a server of its own."""


class Preloaded(subprocess.Popen[str]):
    """A process of `python -m MODULE`, `python -c CODE` or `python FILE`.

    Forked on Linux, started elsewhere. Takes the arguments of `subprocess.Popen`, of
    those about the process itself only `cwd`, `env` and `start_new_session`.
    """

    def _execute_child(self, args: Any, *others: Any) -> None:
        # Everything else of Popen works on a process ID and on pipes, whose ends for
        # the child are closed here, as Popen's own method does.
        names = (
            "executable preexec_fn close_fds pass_fds cwd env startupinfo "
            "creationflags shell p2cread p2cwrite c2pread c2pwrite errread errwrite "
            "restore_signals gid gids uid umask start_new_session process_group"
        )
        given = dict(zip(names.split(), others, strict=True))
        if sys.platform != "linux" or "PYTHONHASHSEED" in (given["env"] or ()):
            super()._execute_child(args, *others)
            return
        streams = [given[end] for end in ("p2cread", "c2pwrite", "errwrite")]
        environment = dict(os.environ if given["env"] is None else given["env"])
        try:
            program = {
                "arguments": [os.fspath(arg) for arg in args[1:]],
                "cwd": os.fspath(given["cwd"] or os.getcwd()),
                "environment": environment,
                "new_session": given["start_new_session"],
            }
            with _ONE_AT_A_TIME:
                own = enumerate(streams)
                self.pid = _fork(program, [at if end == -1 else end for at, end in own])
            self._child_created = True
        finally:
            ends = (given[name] for name in names.split()[9:15])
            self._close_pipe_fds(*ends)


def run(arguments: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end, and captures its output; like `subprocess.run`."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with Preloaded(arguments, **pipes, **options) as process:
        try:
            out, errors = process.communicate(timeout=240)
        finally:
            process.kill()
    return subprocess.CompletedProcess(arguments, process.returncode, out, errors)


def _fork(program: Mapping[str, Any], streams: list[int]) -> int:
    """Has a server fork; the ID of the process, which is a child of this one."""
    environment = program["environment"]
    once = {
        name: value
        for name, value in environment.items()
        if name.startswith(_READ_WHEN_IMPORTED) and name != "PYTHONPATH"
    }
    server = _server(tuple(sorted(once.items())))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(_SUBREAPER, 1)
    try:
        message = json.dumps(program).encode()
        descriptors = array.array("i", streams).tobytes()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
        server.sendmsg([len(message).to_bytes(8, "big")], rights)
        server.sendall(message)
        answer = server.recv(8, socket.MSG_WAITALL)
    finally:
        prctl(_SUBREAPER, 0)
    assert len(answer) == 8, "the server of preloaded processes has ended"
    return int.from_bytes(answer, "big")


@functools.cache
def _server(once: tuple[tuple[str, str], ...]) -> socket.socket:
    """A connection to a server with these values of the variables read once."""
    here, there = socket.socketpair()
    names = [name for name in os.environ if not name.startswith(_READ_WHEN_IMPORTED)]
    environment = {name: os.environ[name] for name in names} | dict(once)
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(there.fileno())],
        env=environment,
        stdin=subprocess.DEVNULL,
        pass_fds=[there.fileno()],
        cwd=SERVER.parents[1],
    )
    there.close()

    def end() -> None:
        here.close()
        process.wait(10)

    atexit.register(end)
    return here
