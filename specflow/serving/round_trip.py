"""Comparison of an export's answers: those stored when it was written, and today's."""

import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxlib.version import __version__ as jaxlib_version

from specflow.runtime.typing import describe

__all__ = [
    "EXAMPLE_ROWS",
    "TOLERANCE",
    "difference",
    "exact_here",
    "largest_difference",
    "tolerance",
]

EXAMPLE_ROWS = 8
"""Rows of the stored example, where the number of rows is free."""

TOLERANCE = {"float32": 1e-4, "narrow": 5e-2}
"""Largest accepted difference, relative to the largest magnitude of an output.

`float32`: another CPU, or other devices, sum in another order. `narrow`: programs that
compute in 16 bits or less anywhere; and GPUs and TPUs, which multiply float32 with ten
bits (TF32) or eight (bfloat16) by default.
"""


def exact_here() -> str:
    """Identifies this CPU and jaxlib, as far as the bits of a result depend on them.

    The same program gives the same bits wherever the identifier is the same; elsewhere
    other vector units, or another number of threads, may sum in another order.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    properties = (
        jaxlib_version,
        platform.machine(),
        platform.processor(),
        _cpu_flags(),
        cores or os.cpu_count(),
        os.environ.get("XLA_FLAGS", ""),
    )
    return hashlib.sha256(repr(properties).encode()).hexdigest()[:16]


def _cpu_flags() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # Not Linux.
        return ""
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def tolerance(backend: str, *, narrow: bool) -> float:
    """The accepted relative difference where bits may differ.

    Args:
        backend: platform that computes the answer: `cpu`, `cuda`, `tpu`, ...
        narrow: whether the program computes in 16 bits or less.
    """
    return TOLERANCE["narrow" if narrow or backend != "cpu" else "float32"]


def difference(
    stored: Mapping[str, np.ndarray],
    current: Mapping[str, np.ndarray],
    *,
    within: float | None,
) -> str:
    """Describes the first output that differs; empty if all agree.

    Args:
        stored: outputs by name, as they were.
        current: outputs by name, for the same inputs.
        within: tolerance relative to an output's largest magnitude; of integers and
            booleans one in ten may differ, as an argmax flips where two scores are
            close. None: every bit must be the same.

    >>> stored, current = {"y": np.float32([1, 2])}, {"y": np.float32([1, 2.1])}
    >>> difference(stored, current, within=None)
    "'y' differs in 1 of 2 values, by 0.1 at most"
    >>> difference(stored, current, within=0.1)
    ''
    """
    for name, before in stored.items():
        after = current[name]
        if before.shape != after.shape or before.dtype != after.dtype:
            return f"{name!r} is {describe(after)}, was {describe(before)}"
        wide = np.complex128 if before.dtype.kind == "c" else np.float64
        old, new = before.astype(wide), after.astype(wide)
        unequal = ~((old == new) | (np.isnan(old) & np.isnan(new)))
        finite = np.isfinite(old) & np.isfinite(new)
        gap = np.abs(np.subtract(old, new, out=np.zeros_like(old), where=finite))
        largest, count = gap.max(initial=0.0), int(unequal.sum())
        if within is None:
            agree = count == 0
        elif before.dtype.kind in "biu":
            agree = count <= max(1, old.size // 10)
        else:
            scale = np.abs(old).max(initial=0.0, where=finite)
            agree = not np.any(unequal & ~finite) and largest <= within * scale
        if not agree:
            values = f"{count} of {old.size} values"
            return f"{name!r} differs in {values}, by {largest:.3g} at most"
    return ""


def largest_difference(
    stored: Mapping[str, np.ndarray], current: Mapping[str, np.ndarray]
) -> float:
    """The largest difference of floats, relative to their output's largest magnitude.

    Args:
        stored: outputs by name, as they were.
        current: outputs by name, of the same shapes.

    >>> largest_difference({"y": np.float32([1, 4])}, {"y": np.float32([1.5, 4])})
    0.125
    """
    relative = [0.0]
    for name, before in stored.items():
        if before.dtype.kind in "biu":
            continue
        old, new = (x.astype(np.float64) for x in (before, np.asarray(current[name])))
        finite = np.isfinite(old) & np.isfinite(new)
        scale = np.abs(old).max(initial=0.0, where=finite)
        gap = np.abs(np.subtract(old, new, out=np.zeros_like(old), where=finite)).max(
            initial=0.0
        )
        relative.append(float(gap / scale) if scale else float(gap))
    return max(relative)
