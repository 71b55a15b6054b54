"""Python of a thread that training should not wait for."""

import contextlib
import sys
import threading
from collections.abc import Iterator

__all__ = ["brief_turns"]

_TURN_S = 0.0005
_lock = threading.Lock()
_users = 0
_usual_s = 0.0


@contextlib.contextmanager
def brief_turns() -> Iterator[None]:
    """Lets other threads have the interpreter after half a millisecond, for a while.

    Otherwise a thread that runs Python keeps it for 5 ms, for which training waits at
    each of its steps. Nested and concurrent uses end with the last one.

    >>> with brief_turns():
    ...     sys.getswitchinterval()
    0.0005
    """
    global _users, _usual_s
    with _lock:
        if not _users:
            _usual_s = sys.getswitchinterval()
            if _usual_s > _TURN_S:
                sys.setswitchinterval(_TURN_S)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users and _usual_s > _TURN_S:
                sys.setswitchinterval(_usual_s)
