"""Standard output and error of a command: closed, full, unread, ASCII alone."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

__all__ = ["READER_GONE", "is_terminal", "prepared", "to_the_end"]

READER_GONE = 141
"""Exit status of a command whose reader has left: that of a process that SIGPIPE ended,
as a shell shows it."""


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """Has both streams take whatever is printed, for as long as the block runs.

    A stream that was closed when the process started is replaced by the null device, in
    Python and for the system: the next file to be opened would be standard output. A
    character that the encoding lacks is written as its escape. What cannot be written
    to standard error is lost, and ends nothing.
    """
    former = sys.stdout, sys.stderr
    _fill_descriptors()
    out, error = _open(sys.stdout), _open(sys.stderr)
    sys.stdout = cast(TextIO, _Stream(out, "standard output", loses=False))
    sys.stderr = cast(TextIO, _Stream(error, "standard error", loses=True))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = former


def _discard(stream: TextIO) -> None:
    """Loses what a stream holds and what is still printed, also when Python exits."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


@contextlib.contextmanager
def to_the_end() -> Iterator[None]:
    """Prints of what is done already: that nobody reads them any more is no failure."""
    with contextlib.suppress(BrokenPipeError):
        yield
        sys.stdout.flush()


def is_terminal(stream: Any) -> bool:
    """Whether a stream is there and is a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # It is closed.
        return False


class _Stream:
    """A stream whose errors say what it is, or are none.

    Args:
        stream: what is written to.
        name: for messages.
        loses: whether what cannot be written is lost, and nobody is told.
    """

    def __init__(self, stream: TextIO, name: str, *, loses: bool):
        self._stream, self._name, self._loses = stream, name, loses

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._failed(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        _discard(self._stream)
        if not self._loses:
            raise OSError(error.errno, error.strerror, self._name) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Null(io.TextIOBase):
    """A stream that nobody reads, without a file."""

    encoding = "utf-8"

    def write(self, text: str, /) -> int:
        return len(text)

    def writable(self) -> bool:
        return True


def _fill_descriptors() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)


def _open(stream: TextIO | None) -> TextIO:
    if stream is None or stream.closed:
        return cast(TextIO, _Null())
    encodes_strictly = getattr(stream, "errors", "") in ("strict", "surrogateescape")
    reconfigure = getattr(stream, "reconfigure", None)
    if encodes_strictly and reconfigure is not None:
        reconfigure(errors="backslashreplace")
    return stream
