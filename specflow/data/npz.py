"""Arrays from `.npz` files, one for training and one for evaluation."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.config.data_more import NpzConfig
from specflow.data.source import ArraySource
from specflow.errors import DataError, Fault, nearest
from specflow.filesystem import expanded

__all__ = ["npz", "read_npz"]


def npz(config: NpzConfig) -> tuple[ArraySource, ArraySource]:
    """The sources that `data.train` and `data.eval` name.

    Raises:
        DataError: a file is missing, is no `.npz`, lacks the labels, or breaks a rule
            of `ArraySource`.
    """
    return (
        read_npz(config.train, labels=config.labels, key="data.train"),
        read_npz(config.eval, labels=config.labels, key="data.eval"),
    )


def read_npz(path: str | Path, *, labels: str | None, key: str = "data") -> ArraySource:
    """The rows of one file. Pickled objects are refused, never loaded.

    Args:
        path: the file.
        labels: name of the array with the labels; None when there is none.
        key: the dotted key that named the file, for messages.
    """
    file = expanded(path, key)
    if not file.is_file():
        raise DataError(
            Fault(key, f"there is no file {str(path)!r}", code="missing-file")
        )
    arrays = _read_arrays(file, key)
    if labels is not None and labels not in arrays:
        raise DataError(
            Fault(
                "data.labels",
                f"{file} has no array {labels!r}; it has {', '.join(arrays) or 'none'}",
                expected="the name of an array, or null when there are no labels",
                mend=nearest(labels, arrays),
                code="unknown-array",
            )
        )
    label = None if labels is None else arrays.pop(labels)
    return ArraySource(arrays, label, origin=str(file))


def _read_arrays(file: Path, key: str) -> dict[str, npt.NDArray[Any]]:
    if not zipfile.is_zipfile(file):
        raise DataError(
            Fault(
                key,
                f"{file} is not an .npz archive",
                mend="Write it with numpy.savez(path, labels=..., ...).",
                code="data-file",
            )
        )
    name = ""
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {}
            for name in archive.files:
                arrays[name] = archive[name]
            return arrays
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            Fault(
                key,
                f"{file}: array {name!r} cannot be read: {error}",
                expected="arrays of numbers",
                mend="Arrays of Python objects are pickles and are refused."
                if "pickle" in str(error)
                else "",
                code="data-file",
            )
        ) from error
