"""The stored round trip: what an export answered when it was made, and answers now."""

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
    "furthest",
    "tolerance",
]

EXAMPLE_ROWS = 8
"""Rows of the stored example, where the number of rows is free."""

TOLERANCE = {"float32": 1e-4, "narrow": 5e-2}
"""Largest difference, as a share of the largest magnitude of an output.

`float32`: another CPU, or other devices, sum in another order. `narrow`: programs that
compute in 16 bits or less anywhere; and GPUs and TPUs, which multiply float32 with ten
bits (TF32) or eight (bfloat16) unless told otherwise.
"""


def exact_here() -> str:
    """A name of this CPU, as far as XLA's code for it depends on it.

    The same program gives the same bits wherever this is the same; where it is not,
    other vector units, or another number of threads, may sum in another order.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    about = (
        jaxlib_version,
        platform.machine(),
        platform.processor(),
        _cpu_flags(),
        cores or os.cpu_count(),
        os.environ.get("XLA_FLAGS", ""),
    )
    return hashlib.sha256(repr(about).encode()).hexdigest()[:16]


def _cpu_flags() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # Not Linux.
        return ""
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def tolerance(backend: str, *, narrow: bool) -> float:
    """The tolerance where bits may differ.

    Args:
        backend: platform that answers now: `cpu`, `cuda`, `tpu`, ...
        narrow: whether the program computes in 16 bits or less.
    """
    return TOLERANCE["narrow" if narrow or backend != "cpu" else "float32"]


def difference(
    stored: Mapping[str, np.ndarray],
    found: Mapping[str, np.ndarray],
    *,
    within: float | None,
) -> str:
    """What is different in answers to the same question; nothing if they agree.

    Args:
        stored: outputs by name, as they were.
        found: outputs by name, now.
        within: tolerance as a share of an output's largest magnitude; of whole numbers
            one in ten may differ, as an argmax flips where two scores are close. None:
            every bit must be the same.

    >>> one, other = {"y": np.float32([1, 2])}, {"y": np.float32([1, 2.1])}
    >>> difference(one, other, within=None)
    "'y' differs in 1 of 2 values, by 0.1 at most"
    >>> difference(one, other, within=0.1)
    ''
    """
    for name, before in stored.items():
        now = found[name]
        if before.shape != now.shape or before.dtype != now.dtype:
            return f"{name!r} is {describe(now)}, was {describe(before)}"
        wide = np.complex128 if before.dtype.kind == "c" else np.float64
        old, new = before.astype(wide), now.astype(wide)
        unlike = ~((old == new) | (np.isnan(old) & np.isnan(new)))
        finite = np.isfinite(old) & np.isfinite(new)
        gap = np.abs(np.subtract(old, new, out=np.zeros_like(old), where=finite))
        most, count = gap.max(initial=0.0), int(unlike.sum())
        if within is None:
            agree = count == 0
        elif before.dtype.kind in "biu":
            agree = count <= max(1, old.size // 10)
        else:
            scale = np.abs(old).max(initial=0.0, where=finite)
            agree = not np.any(unlike & ~finite) and most <= within * scale
        if not agree:
            values = f"{count} of {old.size} values"
            return f"{name!r} differs in {values}, by {most:.3g} at most"
    return ""


def furthest(
    stored: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]
) -> float:
    """The largest difference of floats, as a share of their output's largest magnitude.

    Args:
        stored: outputs by name, as they were.
        found: outputs by name, now; of the same shapes.

    >>> furthest({"y": np.float32([1, 4])}, {"y": np.float32([1.5, 4])})
    0.125
    """
    shares = [0.0]
    for name, before in stored.items():
        if before.dtype.kind in "biu":
            continue
        old, new = (x.astype(np.float64) for x in (before, np.asarray(found[name])))
        finite = np.isfinite(old) & np.isfinite(new)
        scale = np.abs(old).max(initial=0.0, where=finite)
        gap = np.abs(np.subtract(old, new, out=np.zeros_like(old), where=finite)).max(
            initial=0.0
        )
        shares.append(float(gap / scale) if scale else float(gap))
    return max(shares)
