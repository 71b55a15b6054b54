"""Ctrl-C and SIGTERM while training: finish the loop, save, leave."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["Interrupted", "stopping"]


class Interrupted:
    """Whether, and by which signal, the process was asked to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None


@contextlib.contextmanager
def stopping(note: Callable[[str], None]) -> Iterator[Interrupted]:
    """Turns the first SIGINT or SIGTERM into a request; a second one acts as usual.

    Args:
        note: takes a line for the person who waits.
    """
    asked = Interrupted()
    if threading.current_thread() is not threading.main_thread():
        yield asked  # Python lets only the main thread handle signals.
        return
    former = {}

    def ask(number: int, _: FrameType | None) -> None:
        asked.signal = number
        signal.signal(number, former[number])
        note("stopping: the state is being saved (once more to stop at once)")

    for number in (signal.SIGINT, signal.SIGTERM):
        former[number] = signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
