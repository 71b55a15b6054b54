"""Files of named arrays as raw bytes, for every dtype that NumPy has a name for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 - registers bfloat16 and the float8s with NumPy
import numpy as np

__all__ = ["read_arrays", "write_arrays"]

_ALIGNMENT = 64
"""Byte alignment of each array, for vector loads."""


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Writes arrays one after another, little-endian, in C order.

    The file has no header: reading it needs the returned index.

    Args:
        path: file to write.
        arrays: name -> NumPy array.

    Returns:
        The index as plain JSON: name -> dtype, shape, and offset in bytes.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights.bin"
    >>> index = write_arrays(path, {"w": np.arange(3, dtype=np.int16)})
    >>> index
    {'w': {'dtype': 'int16', 'shape': [3], 'offset': 0}}
    >>> read_arrays(path.read_bytes(), index)["w"]
    array([0, 1, 2], dtype=int16)
    """
    index: dict[str, dict[str, Any]] = {}
    with path.open("wb") as file:
        for name, value in arrays.items():
            array = np.asarray(value)
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            index[name] = {
                "dtype": array.dtype.name,
                "shape": list(array.shape),
                "offset": file.tell(),
            }
            # As bytes: bfloat16 and the float8s have no buffer protocol.
            file.write(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)
    return index


def read_arrays(
    content: bytes, index: Mapping[str, Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    """Returns the arrays of a file written by `write_arrays`.

    Args:
        content: bytes of the file; the arrays share their memory and are read-only.
        index: index returned by `write_arrays`.

    Raises:
        ValueError: the index does not match the bytes.
        TypeError: the index names an unknown dtype.
    """
    data = np.frombuffer(content, np.uint8)
    arrays = {}
    for name, entry in index.items():
        dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
        start = entry["offset"]
        stop = start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        little = data[start:stop].view(dtype.newbyteorder("<")).reshape(shape)
        arrays[name] = little.astype(dtype, copy=False)
    return arrays
