"""Writes TFRecord files of `tf.train.Example` and `tf.train.SequenceExample`.

Source: tensorflow/core/example/{example,feature}.proto, the encoding of protocol
buffers, https://protobuf.dev/programming-guides/encoding, and record_writer.h.
"""

import contextlib
import gzip
import os
import struct
import tempfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

import google_crc32c
import numpy as np
import numpy.typing as npt

from specflow import DataError
from specflow.diagnostics.errors import Diagnostic

__all__ = ["serialized_example", "write_examples"]

_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
_MASK = 0xA282EAD8
_FEW = 16
"""Integers up to which NumPy is slower."""


def write_examples(
    path: Path,
    examples: Iterable[Mapping[str, Any]],
    *,
    feature_lists: Collection[str],
    compression: Literal["GZIP", "ZLIB"] | None,
) -> int:
    """Writes examples to a file, which exists only once it is complete.

    Returns:
        The number of examples.

    Raises:
        DataError: a value is none of an example; it is named. Or the file cannot be
            written.
    """
    count = 0
    try:
        with _replacing(path) as file, _compressed(file, compression) as output:
            for count, example in enumerate(examples, start=1):
                try:
                    content = serialized_example(example, feature_lists)
                except ValueError as error:
                    raise DataError(
                        Diagnostic(
                            f"{path}, record {count - 1}",
                            str(error),
                            expected="numbers, texts or bytes, or lists of one of them",
                            code="record-value",
                        )
                    ) from error
                length = struct.pack("<Q", len(content))
                output.write(length + _checksum(length) + content + _checksum(content))
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise DataError(Diagnostic(str(path), problem, code="data-file")) from error
    return count


def serialized_example(
    example: Mapping[str, Any], feature_lists: Collection[str] = ()
) -> bytes:
    """Returns a `tf.train.Example`, or a `tf.train.SequenceExample`.

    Args:
        example: name -> a number, text or bytes, or a list or array of one of them.
        feature_lists: names of values with an item for each step; with any, the result
            is a sequence example, whose context the others are.

    Raises:
        ValueError: a value is none of an example.

    >>> serialized_example({"x": 7}).hex()
    '0a0c0a0a0a017812051a030a0107'
    """
    missing = sorted({*feature_lists} - {*example})
    if missing:
        raise ValueError(f"has no {missing[0]!r}, which feature_lists names")
    context, lists = b"", b""
    for name in sorted(example):
        key = _message(1, name.encode())
        if name in feature_lists:
            steps = b"".join(
                _message(1, _feature(f"{name}, step {number}", step))
                for number, step in enumerate(example[name])
            )
            lists += _message(1, key + _message(2, steps))
        else:
            context += _message(1, key + _message(2, _feature(name, example[name])))
    features = _message(1, context)
    return features + _message(2, lists) if feature_lists else features


def _feature(name: str, value: Any) -> bytes:
    if isinstance(value, str | bytes):
        value = [value]
    array = np.asarray(value)
    if array.dtype.kind in "biu":
        if array.dtype.kind == "u" and array.size and array.max() > 2**63 - 1:
            raise ValueError(f"{name} has {array.max()}, which no int64 holds")
        flat = array.reshape(-1).astype(np.int64)
        few = flat.size <= _FEW
        packed = b"".join(map(_varint, flat.tolist())) if few else _varints(flat)
        return _message(_INT64_LIST, _message(1, packed))
    if array.dtype.kind == "f":
        if not array.size:
            return _message(_FLOAT_LIST, b"")
        packed = array.reshape(-1).astype("<f4").tobytes()
        return _message(_FLOAT_LIST, _message(1, packed))
    items = list(value) if isinstance(value, list | tuple | np.ndarray) else [value]
    if not all(isinstance(item, str | bytes) for item in items):
        raise ValueError(f"{name} is {value!r:.60}")
    encoded = [item.encode() if isinstance(item, str) else item for item in items]
    texts = b"".join(_message(1, bytes(item)) for item in encoded)
    return _message(_BYTES_LIST, texts)


def _message(number: int, content: bytes) -> bytes:
    """A field of bytes: its tag, length and content."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    value &= 0xFFFF_FFFF_FFFF_FFFF  # A negative number in two's complement.
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def _varints(values: npt.NDArray[np.int64]) -> bytes:
    """A packed list of integers."""
    unsigned = values.astype(np.uint64)
    if not (unsigned > 0x7F).any():
        return unsigned.astype(np.uint8).tobytes()
    shifts = 7 * np.arange(10).astype(np.uint64)
    sevens = (unsigned[:, None] >> shifts).astype(np.uint8) & 0x7F
    # The last octet that is not 0, and at least the first one.
    last = np.where(sevens, np.arange(10), 0).max(axis=1, initial=0)
    places = np.arange(10)
    sevens[places < last[:, None]] |= 0x80
    return sevens[places <= last[:, None]].tobytes()


def _checksum(content: bytes) -> bytes:
    checksum = google_crc32c.value(content)
    masked = ((checksum >> 15 | checksum << 17) + _MASK) & 0xFFFF_FFFF
    return struct.pack("<I", masked)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file that replaces the file of a path once it is complete."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


@contextlib.contextmanager
def _compressed(file: IO[bytes], compression: str | None) -> Iterator[Any]:
    if compression == "GZIP":
        # Without a time: equal examples are equal files.
        with gzip.GzipFile("", "wb", 6, file, mtime=0) as output:
            yield output
    elif compression == "ZLIB":
        output = _Deflated(file)
        yield output
        output.close()
    else:
        yield file


class _Deflated:
    """A stream of zlib."""

    def __init__(self, file: IO[bytes]):
        self._file, self._stream = file, zlib.compressobj()

    def write(self, content: bytes) -> None:
        self._file.write(self._stream.compress(content))

    def close(self) -> None:
        self._file.write(self._stream.flush())
