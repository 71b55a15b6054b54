"""Handlers of signals that hold for a block."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["signal_handlers"]


@contextlib.contextmanager
def signal_handlers(
    handle: Callable[[int], Any], *numbers: signal.Signals
) -> Iterator[Mapping[int, Any]]:
    """Handles signals by a function inside the block; restores the former handlers.

    In another thread than the main one it changes nothing: Python lets that one alone
    handle signals.

    Args:
        handle: called with the number of a signal that has arrived.
        numbers: of the signals; by default SIGINT and SIGTERM.

    Yields:
        Number of a signal -> its former handler; empty in another thread.

    >>> arrived = []
    >>> with signal_handlers(arrived.append, signal.SIGUSR1):
    ...     signal.raise_signal(signal.SIGUSR1)
    >>> arrived == [signal.SIGUSR1]
    True
    """
    former: dict[int, Any] = {}
    if threading.current_thread() is not threading.main_thread():
        yield former
        return
    for number in numbers or (signal.SIGINT, signal.SIGTERM):
        former[number] = signal.signal(number, lambda number, _: handle(number))
    try:
        yield former
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
