"""What was freed goes back to the system."""

import ctypes
from pathlib import Path

import pytest

from specflow.runtime.malloc_trim import give_back


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs the GNU C library"
)
def test_freed_memory_is_given_back():
    # Pieces too small to be mapped one by one, which the C library would keep: the last
    # one stays, and holds the heap up.
    pieces = [ctypes.create_string_buffer(64_000) for _ in range(2_000)]
    full = _resident_bytes()
    del pieces[:-1]
    give_back()
    assert _resident_bytes() < full - 100_000_000
