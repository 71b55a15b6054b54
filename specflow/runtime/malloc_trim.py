"""Memory of the host that a compiler has freed."""

import ctypes
import functools
import sys
from collections.abc import Callable

__all__ = ["give_back"]


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    # glibc has it; other C libraries keep less to themselves.
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back() -> None:
    """Gives freed memory back to the system; takes a few milliseconds.

    XLA and LLVM free most of what they needed as soon as a program is compiled. The C
    library keeps it for what comes next, in arenas of threads that may never ask again:
    tens of MiB for a small program, which the run would hold to its end.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)
