"""SIGINT (Ctrl-C) and SIGTERM while training: finish the device loop, save, exit."""

import contextlib
import signal
from collections.abc import Callable, Iterator

from specflow.runtime.signal_handlers import signal_handlers

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

    def handle(number: int) -> None:
        request.signal = number
        signal.signal(number, former[number])
        note("stopping: the state is being saved (once more to stop at once)")

    with signal_handlers(handle) as former:
        yield request
