"""TFRecord files, read by number.

A record is its length (uint64), the masked CRC-32C of that, its bytes, and their masked
CRC-32C, all little-endian. Where each record begins is found by one pass over the
lengths, and kept in the user's cache by the digest of the file.

Source: tensorflow/core/lib/io/record_writer.h.
"""

import os
import struct
import sys
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from specflow import DataError, data
from specflow.diagnostics.errors import Diagnostic
from specflow_records._core.example import example_columns

__all__ = ["TfRecords"]

_HEADER, _FOOTER = struct.Struct("<QI"), struct.Struct("<I")
_LENGTH = struct.Struct("<Q")
_MASK = 0xA282EAD8
_BLOCK = 1 << 20
_MOST_OPEN = 64
"""Files that stay open between reads."""
_WINDOWS = {"GZIP": 31, "ZLIB": 15}
"""Format -> `wbits` of zlib."""


class TfRecords:
    """The examples of files.

    Args:
        written: paths and globs.
        key: dotted key of them, for messages.

    Raises:
        DataError: a file is missing, damaged or cut off.
    """

    fields = None

    def __init__(self, written: Sequence[str], *, key: str):
        files = data.record_files(written, key=key)
        self.files: Mapping[str, str] = {file.name: file.digest for file in files}
        self._files: list[tuple[str, Path]] = []
        starts: list[npt.NDArray[np.int64]] = []
        problems: list[Diagnostic] = []
        for file in files:
            try:
                path = _decompressed(file)
                self._files.append((file.name, path))
                starts.append(_record_starts(file, path))
            except DataError as error:
                problems += error.diagnostics
        if problems:
            raise DataError(*problems)
        self._starts = starts
        """Of each file: where its records begin, and its end."""
        self._firsts = np.cumsum([0, *(len(each) - 1 for each in starts)])
        self._open: dict[int, int] = {}
        """File -> its descriptor."""
        weakref.finalize(self, _close_all, self._open)

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def place(self, row: int) -> str:
        """File and number of a record."""
        file = int(np.searchsorted(self._firsts, row, side="right")) - 1
        return f"{self._files[file][0]}, record {row - int(self._firsts[file])}"

    def read(
        self, rows: npt.NDArray[np.int64], fields: Sequence[str] | None
    ) -> dict[str, Any]:
        """Reads examples: field -> its value in each record."""
        order = np.argsort(rows, kind="stable")
        contents = zip(order, self._contents(rows[order]), strict=True)
        return example_columns(contents, fields, rows, self.place)

    def _contents(self, rows: npt.NDArray[np.int64]) -> Iterator[bytes]:
        """Yields the bytes of records, in ascending order; neighbors in one read."""
        if not len(rows):
            return
        files = np.searchsorted(self._firsts, rows, side="right") - 1
        breaks = np.flatnonzero((np.diff(rows) > 1) | (np.diff(files) > 0)) + 1
        for part in np.split(np.arange(len(rows)), breaks):
            file = int(files[part[0]])
            numbers = rows[part] - self._firsts[file]
            starts = self._starts[file]
            begin = int(starts[numbers[0]])
            content = self._read(file, begin, int(starts[numbers[-1] + 1]) - begin)
            for number in numbers:
                first = int(starts[number]) - begin
                last = int(starts[number + 1]) - begin
                yield self._checked(content[first:last], file, int(number))

    def _read(self, file: int, start: int, size: int) -> bytes:
        name, path = self._files[file]

        def read() -> bytes:
            try:
                return _pread(self._opened(file, path), size, start)
            except OSError:
                _close(self._open, file)
                raise

        content = data.read_retried(name, read)
        if len(content) != size:
            raise _damaged(name, f"has changed since it was opened: byte {start}")
        return content

    def _opened(self, file: int, path: Path) -> int:
        """The descriptor of a file, which stays open."""
        if file not in self._open:
            if len(self._open) >= _MOST_OPEN:
                _close(self._open, next(iter(self._open)))
            self._open[file] = os.open(path, os.O_RDONLY)
        return self._open[file]

    def _checked(self, framed: bytes, file: int, number: int) -> bytes:
        content = framed[_HEADER.size : -_FOOTER.size]
        (expected,) = _FOOTER.unpack(framed[-_FOOTER.size :])
        if _masked_crc(content) != expected:
            where = f"{self._files[file][0]}, record {number}"
            raise _damaged(where, "is damaged: the checksum of its bytes differs")
        return content


def _close_all(opened: dict[int, int]) -> None:
    for file in [*opened]:
        _close(opened, file)


def _close(opened: dict[int, int], file: int) -> None:
    if (descriptor := opened.pop(file, None)) is not None:
        os.close(descriptor)


def _pread(file: int, size: int, offset: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = os.pread(file, min(size, 1 << 30), offset)
        if not part:
            break
        parts.append(part)
        size, offset = size - len(part), offset + len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _record_starts(file: data.RecordFile, path: Path) -> npt.NDArray[np.int64]:
    """Where each record begins, and the end of the last one."""

    def write(new: Path) -> None:
        starts = data.read_retried(file.name, lambda: _scanned(file.name, path))
        with new.open("wb") as index:
            np.save(index, starts)

    index, _ = data.made_file(file, "index-1", write)
    return np.load(index, allow_pickle=False)


def _scanned(name: str, path: Path) -> npt.NDArray[np.int64]:
    starts = [0]
    size = path.stat().st_size
    with path.open("rb", buffering=_BLOCK) as content:
        while starts[-1] < size:
            header = content.read(_HEADER.size)
            where = f"{name}, record {len(starts) - 1}"
            if len(header) < _HEADER.size:
                raise _damaged(where, "is cut off: the file ends in its length")
            length, checksum = _HEADER.unpack(header)
            if _masked_crc(header[: _LENGTH.size]) != checksum:
                problem = "is damaged: the checksum of its length differs"
                if len(starts) == 1:
                    problem = "has no TFRecord: the checksum of its length differs"
                raise _damaged(where, problem)
            stop = starts[-1] + _HEADER.size + length + _FOOTER.size
            if stop > size:
                problem = f"is cut off: {stop - size:,} bytes are missing"
                raise _damaged(where, problem)
            content.seek(stop)
            starts.append(stop)
    return np.array(starts, np.int64)


def _decompressed(file: data.RecordFile) -> Path:
    """The file itself, or what is in a compressed one, written once."""
    with file.path.open("rb") as content:
        start = content.read(_HEADER.size)
    if len(start) == _HEADER.size:
        length, checksum = _HEADER.unpack(start)
        if _masked_crc(_LENGTH.pack(length)) == checksum:
            return file.path
    kind = _compression(start)
    if kind is None:
        return file.path  # Its first record is reported.

    def write(new: Path) -> None:
        with new.open("wb") as output:
            data.read_retried(file.name, lambda: _inflate(file, kind, output))

    path, seconds = data.made_file(file, "records-1", write)
    if seconds is not None:
        print(
            f"data: decompressed {file.name}, {path.stat().st_size / 1e6:,.0f} MB in "
            f"{seconds:.1f} s, to {path}",
            file=sys.stderr,
        )
    return path


def _compression(start: bytes) -> str | None:
    if start[:2] == b"\x1f\x8b":
        return "GZIP"
    is_zlib = len(start) > 1 and start[0] == 0x78 and (start[0] * 256 + start[1]) % 31
    return "ZLIB" if is_zlib == 0 and start[:1] == b"\x78" else None


def _inflate(file: data.RecordFile, kind: str, output: Any) -> None:
    output.seek(0)
    output.truncate()
    stream = zlib.decompressobj(_WINDOWS[kind])
    with file.path.open("rb") as content:
        try:
            while block := content.read(_BLOCK):
                while block:
                    output.write(stream.decompress(block))
                    # A file may have several streams, one after the other.
                    block = stream.unused_data
                    if stream.eof and block:
                        stream = zlib.decompressobj(_WINDOWS[kind])
                    elif stream.eof:
                        break
        except zlib.error as error:
            raise _damaged(file.name, f"is damaged {kind}: {error}") from error
    if not stream.eof:
        raise _damaged(file.name, f"is cut off: its {kind} stream does not end")


def _masked_crc(content: bytes) -> int:
    checksum = google_crc32c.value(content)
    return ((checksum >> 15 | checksum << 17) + _MASK) & 0xFFFF_FFFF


def _damaged(where: str, problem: str) -> DataError:
    return DataError(
        Diagnostic(
            where,
            problem,
            expected="a TFRecord file, also compressed by GZIP or ZLIB",
            hint="Copy or write the file again.",
            code="data-file",
        )
    )
