"""One file of arrays in the safetensors format, written and read in bounded memory.

The format is a header, a JSON object with dtype, shape and offsets of each array, then
the bytes of the arrays. Source: huggingface/safetensors, whose readers open the files.
"""

import functools
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

__all__ = [
    "ArraysFile",
    "array_bytes",
    "array_digest",
    "digest_of",
    "header_of",
    "new_hasher",
    "write_arrays",
]

_BLOCK_BYTES = 8 << 20
"""Bytes that are read or written, and hashed, at once."""
_SHORT_ROW_BYTES = 64 << 10
"""Rows up to this size are read completely, since a system call takes as long."""
_MOST_BUFFERS = 1024
"""Buffers that one system call writes, on Linux and macOS."""
_ALIGNMENT = 64
"""The data begins at a multiple of this: a cache line, and what XLA needs on CPU."""
_DTYPE_NAMES = {
    "bool": "BOOL",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "bfloat16": "BF16",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "complex64": "C64",
}
"""Names of dtypes in the format. An array of another dtype, such as `int4`, is written
as its bytes, `U8`, in one dimension."""


def write_arrays(path: Path, header: bytes, arrays: Sequence[np.ndarray]) -> list[str]:
    """Writes arrays to a new file, and waits until they are on the disk.

    Takes no memory beyond the arrays: their bytes are written and hashed block by
    block, those of small arrays together. Multi-byte values are little-endian, as the
    format wants them.

    Args:
        path: the file; it must not exist.
        header: result of `header_of` these arrays.
        arrays: in the order of the header, contiguous in C order.

    Returns:
        128-bit xxHash of each array's bytes.

    Raises:
        OSError: the file cannot be written.
    """
    digests = []
    with path.open("xb", buffering=0) as file:
        waiting, size = [memoryview(header)], len(header)
        for array in arrays:
            hasher = new_hasher()
            content = _as_bytes(array)
            is_small = len(content) <= _BLOCK_BYTES
            for block in (content,) if is_small else _blocks(content):
                if size + len(block) > _BLOCK_BYTES or len(waiting) == _MOST_BUFFERS:
                    _write(file, waiting)
                    waiting, size = [], 0
                waiting.append(block)
                size += len(block)
                hasher.update(block)
            digests.append(hasher.hexdigest())
        _write(file, waiting)
        os.fsync(file.fileno())
    return digests


class ArraysFile:
    """A file of `write_arrays`, open for reading.

    Args:
        path: the file.
        described: name -> (dtype, shape) of each array, in the order of the file.

    Raises:
        OSError: the file cannot be opened.
        ValueError: its header or its size is not that of these arrays.
    """

    def __init__(
        self, path: Path, described: Mapping[str, tuple[np.dtype[Any], Sequence[int]]]
    ):
        header = header_of(described)
        self._file = path.open("rb", buffering=0)
        self._offsets: dict[str, int] = {}
        offset = len(header)
        for name, (dtype, shape) in described.items():
            self._offsets[name] = offset
            offset += array_bytes(dtype, shape)
        try:
            if os.fstat(self._file.fileno()).st_size != offset:
                raise ValueError("its size has changed since it was written")
            found = bytearray(len(header))
            self._read(memoryview(found), 0)
            if found != header:
                raise ValueError("its header has changed since it was written")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def read(self, name: str, target: np.ndarray) -> str:
        """Reads a complete array, and returns the xxHash of its bytes.

        Safe to call from several threads.

        Args:
            name: of the array.
            target: filled with it; of its dtype and shape, contiguous in C order.
        """
        hasher, offset = new_hasher(), self._offsets[name]
        for block in _blocks(_as_bytes(target)):
            self._read(block, offset)
            hasher.update(block)
            offset += len(block)
        return hasher.hexdigest()

    def digest(self, name: str, size: int) -> str:
        """Returns the xxHash of an array's bytes, without memory for the array.

        Args:
            name: of the array.
            size: its bytes.
        """
        hasher, offset = new_hasher(), self._offsets[name]
        buffer = memoryview(bytearray(min(size, _BLOCK_BYTES)))
        for start in range(0, size, _BLOCK_BYTES):
            block = buffer[: min(_BLOCK_BYTES, size - start)]
            self._read(block, offset + start)
            hasher.update(block)
        return hasher.hexdigest()

    def rows(
        self, name: str, shape: Sequence[int], dtype: np.dtype[Any], hasher: Any
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yields an array in blocks of rows, each into the same memory.

        Args:
            name: of the array.
            shape: of the array, with at least one dimension.
            dtype: of the array.
            hasher: updated with its bytes.

        Yields:
            (number of the first row, rows).
        """
        row_bytes = array_bytes(dtype, shape[1:])
        at_once = min(shape[0], max(1, _BLOCK_BYTES // max(1, row_bytes)))
        memory = np.empty((at_once, *shape[1:]), dtype)
        for first in range(0, shape[0], at_once):
            rows = memory[: shape[0] - first]
            block = _as_bytes(rows)
            self._read(block, self._offsets[name] + first * row_bytes)
            hasher.update(block)
            yield first, rows

    def read_part(
        self, name: str, shape: Sequence[int], part: Sequence[slice], target: np.ndarray
    ) -> None:
        """Reads a part of an array; of short rows, complete ones are read.

        Args:
            name: of the array.
            shape: of the array, with at least one dimension.
            part: slice with step 1 along each dimension.
            target: filled with it.
        """
        axes = range(len(shape))
        strides = [array_bytes(target.dtype, shape[axis + 1 :]) for axis in axes]
        partial = [axis for axis in axes if part[axis] != slice(0, shape[axis])]
        # Along this axis, and behind it, the part is contiguous in the file.
        contiguous = max(partial, default=0)
        short = next(axis for axis in axes if strides[axis] <= _SHORT_ROW_BYTES)
        axis = min(contiguous, short)
        rows_at_once = max(1, _BLOCK_BYTES // max(1, strides[axis]))
        for index in np.ndindex(*target.shape[:axis]):
            start = self._offsets[name] + sum(
                (part[outer].start + place) * strides[outer]
                for outer, place in enumerate(index)
            )
            rows = target[index]
            for first in range(0, len(rows), rows_at_once):
                some = rows[first : first + rows_at_once]
                offset = start + (part[axis].start + first) * strides[axis]
                if axis == contiguous and some.flags.c_contiguous:
                    self._read(_as_bytes(some), offset)
                    continue
                complete = np.empty((len(some), *shape[axis + 1 :]), target.dtype)
                self._read(_as_bytes(complete), offset)
                some[...] = complete[(slice(None), *part[axis + 1 :])]

    def _read(self, target: memoryview, offset: int) -> None:
        """Fills a buffer from an offset; the position of the file is not used."""
        while target:
            count = os.preadv(self._file.fileno(), [target], offset)
            if count == 0:
                raise ValueError("its size has changed since it was written")
            target, offset = target[count:], offset + count


def array_digest(array: np.ndarray) -> str:
    """128-bit xxHash of an array's bytes, in C order.

    >>> array_digest(np.zeros(3)) == array_digest(np.zeros((1, 3)))
    True
    """
    return digest_of(_as_bytes(np.ascontiguousarray(array)))


def digest_of(content: bytes | memoryview) -> str:
    """128-bit xxHash of bytes."""
    hasher = new_hasher()
    hasher.update(content)
    return hasher.hexdigest()


def array_bytes(dtype: np.dtype[Any], shape: Sequence[int]) -> int:
    """Bytes of an array.

    >>> array_bytes(np.dtype("float32"), (2, 3))
    24
    """
    return dtype.itemsize * math.prod(shape)


def header_of(described: Mapping[str, tuple[np.dtype[Any], Sequence[int]]]) -> bytes:
    """Header of a file of arrays.

    Args:
        described: name -> (dtype, shape) of each array, in the order of the file.
    """
    entries: dict[str, Any] = {}
    offset = 0
    for name, (dtype, shape) in described.items():
        size = array_bytes(dtype, shape)
        code = _code(dtype)
        entries[name] = {
            "dtype": code or "U8",
            "shape": list(shape) if code else [size],
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


@functools.cache
def _code(dtype: np.dtype[Any]) -> str | None:
    """Name of a dtype in the format; None if it has none. NumPy forms names slowly."""
    return _DTYPE_NAMES.get(dtype.name)


def _write(file: IO[bytes], blocks: list[memoryview]) -> None:
    """Writes blocks one after another; a short write is continued where it ended."""
    count = os.writev(file.fileno(), blocks)
    for block in blocks:
        written, count = min(count, len(block)), max(0, count - len(block))
        rest = block[written:]
        while rest:
            rest = rest[file.write(rest) :]


def _blocks(content: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(content), _BLOCK_BYTES):
        yield content[start : start + _BLOCK_BYTES]


def _as_bytes(array: np.ndarray) -> memoryview:
    # As bytes: bfloat16 and similar dtypes have no buffer protocol.
    return array.reshape(-1).view(np.uint8).data


def new_hasher() -> Any:
    """Computes a 128-bit xxHash of bytes, block by block."""
    import xxhash

    return xxhash.xxh3_128()
