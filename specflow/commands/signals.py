"""SIGINT (Ctrl-C) and SIGTERM while training: finish the device loop, save, exit."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["StopRequest", "stopping"]


class StopRequest:
    """A request to stop training; true once a signal has arrived."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None


@contextlib.contextmanager
def stopping(note: Callable[[str], None]) -> Iterator[StopRequest]:
    """Turns the first SIGINT or SIGTERM into a request; a second one acts as usual.

    Args:
        note: receives one line for the user.

    Yields:
        The request.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request  # Python lets only the main thread handle signals.
        return
    previous = {}

    def handle(number: int, _: FrameType | None) -> None:
        request.signal = number
        signal.signal(number, previous[number])
        note("stopping: the state is being saved (once more to stop at once)")

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, handle)
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
