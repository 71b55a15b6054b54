"""Signals that stop a sweep, while it waits for messages of its workers."""

import contextlib
import os
import select
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from specflow.runtime.signal_handlers import signal_handlers
from specflow.sweep.pool.worker_process import Worker

__all__ = ["StopSignals"]

AnyWorker = TypeVar("AnyWorker", bound=Worker)


class StopSignals:
    """Handles SIGINT and SIGTERM, which end a wait for messages.

    Args:
        handle: called with the number of each signal.
    """

    def __init__(self, handle: Callable[[int], None]):
        self._handle, self._handlers = handle, contextlib.ExitStack()
        self._wake: tuple[int, int] | None = None

    def open(self) -> None:
        """Handles signals from now on; only the main thread can."""
        self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._handlers.enter_context(signal_handlers(self._handle))

    def close(self) -> None:
        """Restores the former handlers."""
        self._handlers.close()
        if self._wake is not None:
            for descriptor in self._wake:
                os.close(descriptor)
            self._wake = None

    def wake(self) -> None:
        """Ends a wait; a handler of signals may call it."""
        if self._wake is not None:
            os.write(self._wake[1], b".")

    def wait(self, workers: Sequence[AnyWorker]) -> Iterator[AnyWorker]:
        """Waits for a message or a signal; yields the workers that sent one."""
        if received := [worker for worker in workers if worker.link.is_received]:
            yield from received
            return
        links = {worker.link.fileno(): worker for worker in workers}
        wake = [] if self._wake is None else [self._wake[0]]
        ready = select.poll()  # `select.select` takes none above 1023.
        for descriptor in (*links, *wake):
            ready.register(descriptor, select.POLLIN)
        for descriptor, _ in ready.poll():
            if descriptor in links:
                yield links[descriptor]
            else:
                with contextlib.suppress(BlockingIOError):
                    os.read(descriptor, 64)
