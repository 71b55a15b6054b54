"""Rendering of diagnostics: lines for people, JSON for tools, and exit statuses."""

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
from specflow.diagnostics.errors import (
    MACHINE,
    MISTAKE,
    Diagnostic,
    SpecflowError,
    first_of,
)

__all__ = [
    "document",
    "is_of_device",
    "is_of_user",
    "is_transient",
    "line",
    "machine_diagnostic",
    "origin",
    "report_error",
    "to_plain",
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
"""Statuses that a retry may clear: a preemption, a lost connection. Estimator
retried ABORTED and UNAVAILABLE. INTERNAL is as often a bug, which stays."""
_LOST = re.compile(r"Gloo [\w-]+ failed.*(closed|reset) by peer")
"""Message of collectives on CPU when another process has died."""
_OWN = tuple(f"{name}{os.sep}" for name in ("jax", "jaxlib", "numpy", "specflow"))
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_REPEATED = re.compile(r"(Error dispatching computation: )+")
_HINTS = {
    "disk": "Free disk space or fix the disk, and run the same command again.",
    "memory": "Use a smaller batch or model, more devices, or a larger machine.",
    "device-failed": "Run the same command again; if it fails again, on other devices.",
    "process-lost": "See the output of the other processes. Started again, all resume "
    "from the newest checkpoint.",
    "machine": "Raise the limits of the system, and run the same command again.",
}


def report_error(error: BaseException, *, as_json: bool = False) -> int:
    """Prints how a command failed.

    Args:
        error: what the command raised; `exit_code` is its status if it has one.
        as_json: print the diagnostics to standard output, as one JSON document.

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
    elif status > 1:  # A command that stopped on request.
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
    if isinstance(error, SpecflowError):  # The traceback of others includes them.
        for note in getattr(error, "__notes__", ()):
            if user_code.is_noise(note):
                continue
            print(f"note: {note}", file=sys.stderr)
    return status


def user_diagnostic(error: BaseException) -> Diagnostic:
    """Returns the diagnostic of an error in the user's code, placed at its section."""
    lines = str(error).splitlines() or [""]
    text = f"{type(error).__name__}: {lines[0]}".rstrip(": ")
    if "callback" in lines[0] and "Traceback" in lines[0]:
        text = lines[-1].strip()
    for note in getattr(error, "__notes__", ()):
        if note.startswith(user_code.LAYER):
            layer = note.removeprefix(user_code.LAYER).rstrip(".")
            text = f"{type(error).__name__} in the layer {layer}"
    code = (user_code.functions(error) or [""])[-1]
    section = getattr(error, "section", None) or Diagnostic(code, "", code="user-code")
    return dataclasses.replace(section, problem=text)


def line(diagnostic: Diagnostic, *, kind: str = "error") -> str:
    """Formats a diagnostic as one line; `docs/errors.md` lists its code.

    Args:
        diagnostic: the problem.
        kind: `error`, or `warning` if the command continues.

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
    """Formats the result of a command as one JSON document.

    Args:
        status: the exit status.
        diagnostics: errors of the command; the first ones are listed, and
            `more_errors` is the number of the others, if there are any.
        **facts: further fields, as plain values.

    >>> negative = Diagnostic("seed", "got -1", origin="a.yaml:3:7", code="range")
    >>> print(document(2, [negative]))
    {
      "status": 2,
      "diagnostics": [
        {
          "code": "range",
          "key": "seed",
          "problem": "got -1",
          "expected": "",
          "hint": "",
          "origin": {
            "file": "a.yaml",
            "line": 3,
            "column": 7
          }
        }
      ]
    }
    """
    given = first_of(diagnostics)
    plain = [to_plain(diagnostic) for diagnostic in given if not diagnostic.more]
    counted = {"more_errors": given[-1].more} if given and given[-1].more else {}
    content = {"status": status, "diagnostics": plain, **counted, **facts}
    return json.dumps(content, indent=2)


def to_plain(diagnostic: Diagnostic) -> dict[str, Any]:
    """Returns a diagnostic as plain values, for tools."""
    return {
        "code": diagnostic.code,
        "key": diagnostic.where,
        "problem": diagnostic.problem,
        "expected": diagnostic.expected,
        "hint": diagnostic.hint,
        "origin": origin(diagnostic.origin),
    }


def origin(text: str) -> dict[str, Any] | None:
    """Parses the origin of a value; None for a default or an unknown origin.

    >>> origin("conf/optimizer/adamw.yaml:4:5")
    {'file': 'conf/optimizer/adamw.yaml', 'line': 4, 'column': 5}
    >>> origin("override seed=-1"), origin("command line"), origin("")
    ({'override': 'seed=-1'}, {'override': None}, None)
    """
    if text == "default":
        return None
    if text == "command line":
        return {"override": None}
    if text.startswith("override "):
        return {"override": text.removeprefix("override ")}
    place = _PLACE.fullmatch(text)
    if place is None:
        return None
    row, column = place["line"], place["column"]
    return {
        "file": place["file"],
        "line": int(row) if row else None,
        "column": int(column) if column else None,
    }


def is_of_device(error: BaseException) -> bool:
    """Returns True for an error of a computation on a device.

    >>> is_of_device(ValueError("got -1"))
    False
    """
    # By name: JAX may not be loaded, and some of its errors are plain ValueErrors.
    named = type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError")
    return named or bool(_LOST.search(str(error)))


def is_transient(error: BaseException) -> bool:
    """Returns True if a device failed in a way that a retry may clear.

    >>> is_transient(ValueError("UNAVAILABLE: got -1"))
    False
    """
    return is_of_device(error) and _status(error) in _TRANSIENT


def is_of_user(error: BaseException) -> bool:
    """Returns True if the traceback has code outside specflow, JAX, NumPy and Python.

    >>> is_of_user(ValueError("got -1"))
    False
    """
    return any(
        not _is_of(frame.f_code.co_filename)
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )


def _is_of(file: str) -> bool:
    """Returns True for source files of specflow, JAX, NumPy and Python."""
    if file.startswith("<frozen "):
        return True
    if "site-packages" in file or "dist-packages" in file:
        parts = re.split("(?:site|dist)-packages", file)[-1]
        return parts[1:].startswith(_OWN)
    return file.startswith((_HERE, sysconfig.get_path("stdlib")))


def _status(error: BaseException) -> str:
    return _REPEATED.sub("", str(error)).partition(":")[0]


def machine_diagnostic(error: BaseException) -> Diagnostic | None:
    """Returns the diagnostic of a machine error; None if it may be a bug.

    >>> print(machine_diagnostic(OSError(errno.ENOSPC, "No space left", "run/x")))
    run/x: No space left. Free disk space or fix the disk, and run the same command
    again.
    >>> machine_diagnostic(ZeroDivisionError())
    """
    code, where, problem = "", "", str(error)
    if user_code.is_users(error) and "Traceback" in problem:
        return None  # A Python callback of the computation failed.
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
