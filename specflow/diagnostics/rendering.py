"""How faults are told: a line for people, a JSON document for tools, an exit status."""

import dataclasses
import errno
import json
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable
from typing import Any

from specflow.diagnostics import user_code
from specflow.diagnostics.errors import MACHINE, MISTAKE, Diagnostic, SpecflowError

__all__ = [
    "document",
    "is_of_device",
    "is_of_user",
    "is_transient",
    "line",
    "machine_diagnostic",
    "origin",
    "tell",
    "told",
    "user_diagnostic",
]

_PLACE = re.compile(r"(?P<file>.+?)(?::(?P<line>\d+))?(?::(?P<column>\d+))?")
_MACHINE_ERRNOS = {
    errno.EDQUOT: "disk",
    errno.EIO: "disk",
    errno.EMFILE: "machine",
    errno.ENFILE: "machine",
    errno.ENOMEM: "memory",
    errno.ENOSPC: "disk",
    errno.EROFS: "disk",
    errno.ESTALE: "disk",
}
_DEVICE_STATUSES = {
    "ABORTED": "device-failed",
    "CANCELLED": "device-failed",
    "DATA_LOSS": "device-failed",
    "DEADLINE_EXCEEDED": "device-failed",
    "INTERNAL": "device-failed",
    "LOST": "process-lost",
    "RESOURCE_EXHAUSTED": "memory",
    "UNAVAILABLE": "device-failed",
}
_TRANSIENT = ("ABORTED", "CANCELLED", "DATA_LOSS", "UNAVAILABLE")
"""Statuses of what may not happen again: a preemption, a connection. The reference had
ABORTED and UNAVAILABLE. INTERNAL is as often a bug, which does."""
_LOST = re.compile(r"Gloo [\w-]+ failed.*(closed|reset) by peer")
"""What collectives on CPU say when another process is gone."""
_OWN = tuple(f"{name}{os.sep}" for name in ("jax", "jaxlib", "numpy", "specflow"))
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_REPEATED = re.compile(r"(Error dispatching computation: )+")
_HINTS = {
    "disk": "Make room or mend the disk, and run the same command again.",
    "memory": "Use a smaller batch or model, more devices, or a larger machine.",
    "device-failed": "Run the same command again; if it fails again, on other devices.",
    "process-lost": "Look at what the other processes say; started again, all go on "
    "from the newest checkpoint.",
    "machine": "Raise the limits of the system, and run the same command again.",
}


def tell(error: BaseException, *, as_json: bool = False) -> int:
    """Tells how a command failed.

    Args:
        error: what ended it; `exit_code` is its status if it has one.
        as_json: whether its faults go to standard output, as one JSON document.

    Returns:
        The exit status of the process.
    """
    diagnostics, status = (), getattr(error, "exit_code", 1)
    if isinstance(error, SpecflowError):
        diagnostics = error.diagnostics
        print(user_code.traceback_of(error), end="", file=sys.stderr)
    elif isinstance(error, KeyboardInterrupt):
        status = 130
        print("interrupted", file=sys.stderr)
    elif status > 1:  # A command that was asked to stop, and did.
        print(error, file=sys.stderr)
    elif diagnostic := machine_diagnostic(error):
        diagnostics, status = (diagnostic,), MACHINE
    elif user_code.is_users(error):
        print(user_code.traceback_of(error), end="", file=sys.stderr)
        diagnostics, status = (user_diagnostic(error),), MISTAKE
    else:
        traceback.print_exception(error)
        diagnostics = (
            Diagnostic("", f"{type(error).__name__}: {error}", code="unexpected"),
        )
    if as_json:
        print(document(status, diagnostics))
    else:
        for diagnostic in diagnostics:
            print(line(diagnostic), file=sys.stderr)
    if isinstance(error, SpecflowError):  # Of others, the traceback has them.
        for note in getattr(error, "__notes__", ()):
            if user_code.is_noise(note):
                continue
            print(f"note: {note}", file=sys.stderr)
    return status


def user_diagnostic(error: BaseException) -> Diagnostic:
    """What the user's code raised, by the section that names the code."""
    told = str(error).splitlines() or [""]
    text = f"{type(error).__name__}: {told[0]}".rstrip(": ")
    if "callback" in told[0] and "Traceback" in told[0]:
        text = told[-1].strip()
    code = (user_code.places(error) or [""])[-1]
    section = getattr(error, "section", None) or Diagnostic(code, "", code="user-code")
    return dataclasses.replace(section, problem=text)


def line(diagnostic: Diagnostic, *, kind: str = "error") -> str:
    """A fault as a report shows it; its code can be looked up in `docs/errors.md`.

    Args:
        diagnostic: what is wrong.
        kind: `error`, or `warning` where the command goes on.

    >>> print(line(Diagnostic("seed", "got -1", expected="a whole number >= 0",
    ...                  origin="override seed=-1", code="range")))
    error[range] seed: got -1 (override seed=-1). Expected a whole number >= 0.
    """
    return (
        f"{kind}[{diagnostic.code}] {diagnostic}"
        if diagnostic.code
        else f"{kind}: {diagnostic}"
    )


def document(status: int, diagnostics: Iterable[Diagnostic] = (), **facts: Any) -> str:
    """What a command has to say, as one JSON document.

    Args:
        status: the exit status.
        diagnostics: what is wrong.
        **facts: what else there is to say, as plain values.

    >>> negative = Diagnostic("seed", "got -1", origin="a.yaml:3:7", code="range")
    >>> print(document(2, [negative]))
    {
      "status": 2,
      "faults": [
        {
          "code": "range",
          "key": "seed",
          "problem": "got -1",
          "expected": "",
          "mend": "",
          "origin": {
            "file": "a.yaml",
            "line": 3,
            "column": 7
          }
        }
      ]
    }
    """
    plain = [told(diagnostic) for diagnostic in diagnostics]
    return json.dumps({"status": status, "diagnostics": plain, **facts}, indent=2)


def told(diagnostic: Diagnostic) -> dict[str, Any]:
    """A fault as plain values, for tools."""
    return {
        "code": diagnostic.code,
        "key": diagnostic.where,
        "problem": diagnostic.problem,
        "expected": diagnostic.expected,
        "hint": diagnostic.hint,
        "origin": origin(diagnostic.origin),
    }


def origin(text: str) -> dict[str, Any] | None:
    """Who set a value, taken apart; none where nobody did, or nobody knows.

    >>> origin("conf/optimizer/adamw.yaml:3:5")
    {'file': 'conf/optimizer/adamw.yaml', 'line': 3, 'column': 5}
    >>> origin("override seed=-1"), origin("command line"), origin("")
    ({'override': 'seed=-1'}, {'override': None}, None)
    """
    if text == "default":
        return None
    if text == "command line":
        return {"override": None}
    if text.startswith("override "):
        return {"override": text.removeprefix("override ")}
    found = _PLACE.fullmatch(text)
    if found is None:
        return None
    row, column = found["line"], found["column"]
    return {
        "file": found["file"],
        "line": int(row) if row else None,
        "column": int(column) if column else None,
    }


def is_of_device(error: BaseException) -> bool:
    """Whether a computation ended with it, and not the code around.

    >>> is_of_device(ValueError("got -1"))
    False
    """
    # By its name: JAX may not even be loaded. JAX makes some of them ValueErrors.
    named = type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError")
    return named or bool(_LOST.search(str(error)))


def is_transient(error: BaseException) -> bool:
    """Whether a device failed in a way that may not happen again.

    >>> is_transient(ValueError("UNAVAILABLE: got -1"))
    False
    """
    return is_of_device(error) and _status(error) in _TRANSIENT


def is_of_user(error: BaseException) -> bool:
    """Whether code other than specflow's, JAX's, NumPy's and Python's took part in it.

    >>> is_of_user(ValueError("got -1"))
    False
    """
    return any(
        not _is_of(frame.f_code.co_filename)
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )


def _is_of(file: str) -> bool:
    """Whether a file of code is specflow's, JAX's, NumPy's or Python's own."""
    if file.startswith("<frozen "):
        return True
    if "site-packages" in file or "dist-packages" in file:
        parts = re.split("(?:site|dist)-packages", file)[-1]
        return parts[1:].startswith(_OWN)
    return file.startswith((_HERE, sysconfig.get_path("stdlib")))


def _status(error: BaseException) -> str:
    return _REPEATED.sub("", str(error)).partition(":")[0]


def machine_diagnostic(error: BaseException) -> Diagnostic | None:
    """What an exception says of the machine; none of what may be a bug.

    >>> print(machine_diagnostic(OSError(errno.ENOSPC, "No space left", "run/x")))
    run/x: No space left. Make room or mend the disk, and run the same command again.
    >>> machine_diagnostic(ZeroDivisionError())
    """
    code, where, problem = "", "", str(error)
    if user_code.is_users(error) and "Traceback" in problem:
        return None  # Python that a computation called has failed.
    if isinstance(error, MemoryError):
        code, where, problem = "memory", "memory", "the host has no more"
    elif isinstance(error, OSError):
        code = _MACHINE_ERRNOS.get(error.errno or 0, "")
        where = str(error.filename or "")
        problem = error.strerror or problem
    elif is_of_device(error):
        where = "device"
        problem = _REPEATED.sub("", (problem.splitlines() or [""])[0])
        status = "LOST" if _LOST.search(problem) else problem.partition(":")[0]
        code = _DEVICE_STATUSES.get(status, "")
    if not code:
        return None
    return Diagnostic(where, problem, hint=_HINTS[code], code=code)
