"""Handlers of signals that hold for a block."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["SharedHandler", "signal_handlers"]


class SharedHandler:
    """A handler of a signal that others hear of as well.

    What replaces it by `signal_handlers` is shared with the same others.

    Args:
        handler: as of `signal.signal`.
        hear: called with the number of each signal, before the handler.
    """

    def __init__(self, handler: Callable[..., Any], hear: Callable[[int], Any]):
        self.handler, self.hear = handler, hear

    def __call__(self, number: int, frame: Any) -> None:
        self.hear(number)
        self.handler(number, frame)


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
        handler: Any = lambda number, _: handle(number)  # noqa: E731
        former[number] = signal.getsignal(number)
        if isinstance(former[number], SharedHandler):
            handler = SharedHandler(handler, former[number].hear)
        signal.signal(number, handler)
    try:
        yield former
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
