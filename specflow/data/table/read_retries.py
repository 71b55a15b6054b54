"""Reads of table files, tried again after errors that may not last."""

import contextlib
import errno
import io
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from specflow.diagnostics.errors import DataError, Diagnostic, SpecflowWarning

__all__ = ["RetriedFile", "read_retried", "retried_items", "retried_text"]

_WAITS_S = (0.1, 0.4, 1.6, 6.4)
"""Seconds before each further try."""
_TRANSIENT = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EINTR,
    errno.EIO,
    errno.ENETDOWN,
    errno.ENETRESET,
    errno.ENETUNREACH,
    errno.ENOTCONN,
    errno.EREMOTEIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
"""Errors of disks and networks that the same read may not have later."""
_sleep = time.sleep
Result = TypeVar("Result")


def read_retried(name: str, read: Callable[[], Result]) -> Result:
    """Calls a read of a file, again after errors that may not last.

    The first such error is a warning. Errors without a number, which say that the
    content is malformed, are not caught.

    Args:
        name: of the file, for messages.
        read: opens the file anew at each call.

    Raises:
        DataError: the file cannot be read: the error lasts, or is of another kind,
            such as a missing permission.
    """
    for number, wait_s in enumerate((*_WAITS_S, None), 1):
        try:
            return read()
        except OSError as error:
            if error.errno is None:
                raise
            if error.errno not in _TRANSIENT or wait_s is None:
                raise _unread(name, error, number) from error
            if number == 1:
                _warn(name, error)
        _sleep(wait_s)
    raise AssertionError("the last try returns or raises")


def retried_items(name: str, start: Callable[[], Iterator[Result]]) -> Iterator[Result]:
    """Yields items of a file; after a failed read, those that follow of a new start.

    Args:
        name: of the file, for messages.
        start: opens the file, and yields the same items at each call; none is None.

    Raises:
        DataError: see `read_retried`.
    """
    items: Iterator[Result] | None = None
    done = 0

    def following() -> Result | None:
        nonlocal items
        try:
            if items is None:
                items = start()
                for _ in range(done):
                    next(items)
            return next(items, None)
        except OSError:
            items = None
            raise

    while (item := read_retried(name, following)) is not None:
        done += 1
        yield item


def _unread(name: str, error: OSError, tries: int) -> DataError:
    lasts = tries > 1
    after = f", {tries} times in {sum(_WAITS_S):.3g} s" if lasts else ""
    hint = "Check the disk or the network of the file."
    return DataError(
        Diagnostic(
            name,
            f"cannot be read: {_reason(error)}{after}",
            expected="a file that this process can read",
            hint=hint if error.errno in _TRANSIENT else "",
            code="data-read",
        )
    )


def _warn(name: str, error: OSError) -> None:
    diagnostic = Diagnostic(
        name,
        f"cannot be read: {_reason(error)}. It is tried again, up to "
        f"{len(_WAITS_S)} times",
        code="data-read",
    )
    warnings.warn(SpecflowWarning(diagnostic), stacklevel=4)


def _reason(error: OSError) -> str:
    # Arrow's own text of an error is longer, and of several lines.
    return os.strerror(error.errno or 0)


class RetriedFile(io.RawIOBase):
    """A file for reading in order; a failed read goes on at its position.

    Args:
        name: of the file, for messages.
        path: of the file.
    """

    def __init__(self, name: str, path: Path):
        self._name, self._path = name, path
        self._position = 0
        self._file: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads bytes into a buffer.

        Raises:
            DataError: see `read_retried`.
        """
        size = read_retried(self._name, lambda: self._read(buffer))
        self._position += size
        return size

    def close(self) -> None:
        self._drop()
        super().close()

    def _read(self, buffer: Any) -> int:
        try:
            if self._file is None:
                self._file = self._path.open("rb", buffering=0)
                self._file.seek(self._position)
            return self._file.readinto(buffer)
        except OSError:
            self._drop()
            raise

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


def retried_text(name: str, path: Path, *, newline: str | None = None) -> io.TextIOBase:
    """Opens a UTF-8 file, whose failed reads go on at their position."""
    content = io.BufferedReader(RetriedFile(name, path), 1 << 17)
    return io.TextIOWrapper(content, encoding="utf-8-sig", newline=newline)
