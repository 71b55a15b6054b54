"""Returns host memory that compilers freed to the system."""

import ctypes
import functools
import sys
from collections.abc import Callable

__all__ = ["give_back"]


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    # glibc has it; other C libraries keep less freed memory.
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back() -> None:
    """Returns freed memory to the system; takes a few milliseconds.

    XLA and LLVM free most of their memory as soon as a program is compiled. The C
    library keeps it for later allocations, in arenas of threads that may never allocate
    again: tens of MiB for a small program, for the rest of the run.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)
