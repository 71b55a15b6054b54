"""Standard output and error that may be closed, full, unread or ASCII only."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

__all__ = ["READER_GONE", "is_terminal", "prepared", "to_the_end"]

READER_GONE = 141
"""Exit status of a command whose reader has left, as of a process ended by SIGPIPE."""


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """Makes both streams accept any output inside the block.

    A stream that was closed when the process started is replaced by the null device, in
    Python and for the system: otherwise the next opened file would become standard
    output. Characters outside the encoding are escaped. Errors of writing to standard
    error are ignored.
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
    """Discards buffered and further output of a stream, also when Python exits."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


@contextlib.contextmanager
def to_the_end() -> Iterator[None]:
    """Ignores a closed pipe inside the block, which prints results of finished work."""
    with contextlib.suppress(BrokenPipeError):
        yield
        sys.stdout.flush()


def is_terminal(stream: Any) -> bool:
    """Returns True for an open stream that is a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # It is closed.
        return False


class _Stream:
    """A stream whose errors name it, or are ignored.

    Args:
        stream: the wrapped stream.
        name: for messages.
        loses: ignore errors of writing.
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
    """A stream without a file, which discards its output."""

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
