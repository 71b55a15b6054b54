"""Named arrays in one file of plain bytes: any dtype that NumPy can name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 - teaches NumPy the names of bfloat16 and its like
import numpy as np

__all__ = ["read_arrays", "write_arrays"]

_ALIGNMENT = 64
"""Each array begins at a multiple of this, as vector units like it."""


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Writes arrays one after the other, little-endian, in C order.

    The file has no header: the index is what makes sense of it.

    Args:
        path: file to write.
        arrays: NumPy arrays by name.

    Returns:
        The index, plain JSON: name -> dtype, shape, and offset in bytes.

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
        for name, given in arrays.items():
            array = np.asarray(given)
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            index[name] = {
                "dtype": array.dtype.name,
                "shape": list(array.shape),
                "offset": file.tell(),
            }
            # As bytes: bfloat16 and its like have no buffer protocol.
            file.write(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)
    return index


def read_arrays(
    content: bytes, index: Mapping[str, Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    """The arrays of a file that `write_arrays` wrote.

    Args:
        content: the file's bytes; the arrays share their memory and are read-only.
        index: what `write_arrays` returned.

    Raises:
        ValueError: the index does not fit the bytes.
        TypeError: the index names a dtype that NumPy does not know.
    """
    whole = np.frombuffer(content, np.uint8)
    arrays = {}
    for name, entry in index.items():
        dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
        start = entry["offset"]
        stop = start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        little = whole[start:stop].view(dtype.newbyteorder("<")).reshape(shape)
        arrays[name] = little.astype(dtype, copy=False)
    return arrays
