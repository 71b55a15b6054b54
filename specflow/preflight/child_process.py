"""Asks a child process, so that the parent allocates nothing and loads no JAX."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from specflow.diagnostics.errors import (
    ConfigError,
    Diagnostic,
    MachineError,
    UserCodeError,
)
from specflow.preflight.compilers import missing_compiler
from specflow.runtime.topologies import Topology, parse

__all__ = ["COMMAND", "LIMIT_S", "Question", "ask", "environment"]

LIMIT_S = 3600.0
"""Seconds after which a child without an answer is killed."""
COMMAND = (sys.executable, "-m", "specflow.preflight")
"""Command of the child."""
_TOLD = "note: "
_SHOW = "SPECFLOW_TRACEBACK"


@dataclasses.dataclass(frozen=True)
class Question:
    """Jobs to inspect, and how."""

    topology: str
    """As `specflow.runtime.topologies.parse` takes it."""
    jobs: Sequence[Sequence[str]]
    """Overrides of each experiment."""
    config_dirs: Sequence[str] = ()
    compiles: bool = True
    """Compile the programs; otherwise report only what is known without compiling."""
    seconds: float = 300.0
    """Time limit of the search for changes that fit, in seconds."""


def ask(question: Question, *, limit_s: float = LIMIT_S) -> list[dict[str, Any]]:
    """Runs a child process, and returns its answer for each job.

    Other output of the child goes to standard error.

    Args:
        question: the jobs, and how to inspect them.
        limit_s: seconds after which the child is killed.

    Raises:
        ConfigError: an experiment is invalid.
        UserCodeError: the user's code failed; its traceback is printed.
        MachineError: the compiler is not installed, or the child failed or timed out.
    """
    topology = parse(question.topology)
    if question.compiles and (missing := missing_compiler(topology)) is not None:
        raise MachineError(missing)
    said: list[str] = []
    with subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(topology),
    ) as child:
        listener = threading.Thread(target=_listen, args=(child.stderr, said))
        late = threading.Event()
        timer = threading.Timer(limit_s, lambda: (late.set(), child.kill()))
        listener.start()
        timer.start()
        try:
            answer, status = _talk(child, json.dumps(dataclasses.asdict(question)))
        except BaseException:
            child.kill()
            raise
        finally:
            timer.cancel()
            listener.join()
    if status or not answer:
        raise MachineError(_failed(status, said, limit_s if late.is_set() else None))
    reply = json.loads(answer)
    if "traceback" in reply:
        print(reply["traceback"], end="", file=sys.stderr)
        raise UserCodeError(*map(_diagnostic, reply["diagnostics"]))
    if reply["diagnostics"]:
        raise ConfigError(*map(_diagnostic, reply["diagnostics"]))
    return reply["jobs"]


def _diagnostic(plain: dict[str, Any]) -> Diagnostic:
    return Diagnostic(code=plain.pop("code"), **plain)


def _talk(child: subprocess.Popen[str], question: str) -> tuple[str, int]:
    """Returns the child's answer and exit status."""
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError), child.stdin:
        child.stdin.write(question)
    return child.stdout.read(), child.wait()


def environment(topology: Topology) -> dict[str, str]:
    """Environment of the child: JAX on CPU, and compilers that expect no device.

    On a machine with a TPU or GPU these variables are false, so only the child has
    them.

    Args:
        topology: what it compiles for.
    """
    home = str(Path(__file__).parents[2])
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    common = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "JAX_PLATFORMS": "cpu",
        # Programs compiled for absent devices are never read back.
        "JAX_ENABLE_COMPILATION_CACHE": "false",
    }
    if topology.chip.is_gpu:
        # The driver, if there is one, is not asked: other programs may use its GPUs.
        return {**common, "CUDA_VISIBLE_DEVICES": ""}
    return {
        **common,
        "TPU_ACCELERATOR_TYPE": "v5litepod-4",
        "TPU_WORKER_HOSTNAMES": "localhost",
        # Other processes may use libtpu meanwhile: the child runs nothing on a TPU.
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }


def _listen(stream: Any, said: list[str]) -> None:
    for line in stream:
        if line.startswith(_TOLD):
            print(line, end="", file=sys.stderr, flush=True)
        elif line.strip():
            said.append(line.rstrip())


def _failed(status: int, said: Sequence[str], limit_s: float | None) -> Diagnostic:
    if limit_s is not None:
        problem = f"did not answer within {limit_s:g} s, and was ended"
        hint = "Give --no-compile, or look at fewer changes with --budget."
    elif status < 0:
        problem = f"was ended by {signal.Signals(-status).name}"
        hint = "The machine may lack memory to compile; --no-compile takes little."
    else:
        problem = f"ended with status {status}: {(said or ['it said nothing'])[-1]}"
        hint = f"{_SHOW}=1 shows where."
        if os.environ.get(_SHOW):
            print(*said, sep="\n", file=sys.stderr)
    return Diagnostic("the pre-flight process", problem, hint=hint, code="preflight")
