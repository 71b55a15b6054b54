"""Asks the child process: the parent allocates nothing, and loads no JAX."""

import contextlib
import dataclasses
import importlib.util
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

__all__ = ["COMMAND", "LIMIT_S", "Question", "ask", "environment"]

LIMIT_S = 3600.0
"""Seconds after which a child that does not answer is ended."""
COMMAND = (sys.executable, "-m", "specflow.preflight")
"""What the child runs."""
_TOLD = "note: "
_SHOW = "SPECFLOW_TRACEBACK"


@dataclasses.dataclass(frozen=True)
class Question:
    """What the child is to find out."""

    topology: str
    """A slice, as `specflow.runtime.chips.parse` takes it."""
    jobs: Sequence[Sequence[str]]
    """Overrides of each experiment."""
    config_dirs: Sequence[str] = ()
    compiles: bool = True
    """Whether the compiler is asked; else what can be told without it."""
    seconds: float = 300.0
    """How long to look for changes that fit, where an experiment does not."""


def ask(question: Question, *, limit_s: float = LIMIT_S) -> list[dict[str, Any]]:
    """What a child process finds out, for each job.

    What it says on the way goes to standard error.

    Args:
        question: what to find out.
        limit_s: seconds after which it is ended.

    Raises:
        ConfigError: the faults of an experiment, as the child found them.
        UserCodeError: code of the user's failed; its traceback is printed.
        MachineError: libtpu is not installed; the child failed, or took too long.
    """
    if question.compiles and importlib.util.find_spec("libtpu") is None:
        raise MachineError(
            Diagnostic(
                "--topology",
                "compiling for a TPU takes its compiler, and libtpu is not installed",
                hint="Install it with pip install 'specflow-jax[tpu]', or give "
                "--no-compile.",
                code="libtpu",
            )
        )
    said: list[str] = []
    with subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
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
    found = json.loads(answer)
    if "traceback" in found:
        print(found["traceback"], end="", file=sys.stderr)
        raise UserCodeError(*map(_diagnostic, found["diagnostics"]))
    if found["diagnostics"]:
        raise ConfigError(*map(_diagnostic, found["diagnostics"]))
    return found["jobs"]


def _diagnostic(plain: dict[str, Any]) -> Diagnostic:
    return Diagnostic(code=plain.pop("code"), **plain)


def _talk(child: subprocess.Popen[str], question: str) -> tuple[str, int]:
    """The child's answer, and its status."""
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError), child.stdin:
        child.stdin.write(question)
    return child.stdout.read(), child.wait()


def environment() -> dict[str, str]:
    """The child's environment: a CPU, and a libtpu that looks for no TPU and is quiet.

    On a machine that has a TPU, these variables are not true: they are the child's
    alone.
    """
    home = str(Path(__file__).parents[2])
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "JAX_PLATFORMS": "cpu",
        "TPU_ACCELERATOR_TYPE": "v5litepod-4",
        "TPU_WORKER_HOSTNAMES": "localhost",
        # Others may use libtpu beside: nothing here runs on a TPU.
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
