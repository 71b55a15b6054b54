"""The stored round trip: what an export answered when it was made, and answers now."""

import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxlib.version import __version__ as jaxlib_version

__all__ = ["EXAMPLE_ROWS", "TOLERANCE", "difference", "exact_here", "tolerance"]

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
            return (
                f"{name!r} is {now.dtype}{now.shape}, was {before.dtype}{before.shape}"
            )
        if before.tobytes() == now.tobytes():
            continue
        old, new = before.astype(np.float64), now.astype(np.float64)
        unlike = ~((old == new) | (np.isnan(old) & np.isnan(new)))
        finite = np.isfinite(old) & np.isfinite(new)
        most = np.max(np.abs(old - new), initial=0.0, where=finite)
        scale = np.max(np.abs(old), initial=0.0, where=np.isfinite(old))
        if within is not None and _agree(
            before.dtype, unlike, finite, most, scale, within
        ):
            continue
        count = f"{unlike.sum()} of {old.size} values"
        return f"{name!r} differs in {count}, by {most:.3g} at most"
    return ""


def _agree(
    dtype: np.dtype,
    unlike: np.ndarray,
    finite: np.ndarray,
    most: float,
    scale: float,
    within: float,
) -> bool:
    if dtype.kind in "biu":
        return int(unlike.sum()) <= max(1, unlike.size // 10)
    return not np.any(unlike & ~finite) and most <= within * scale
