"""ArrayRecord files, read by number.

The library checks hashes of every chunk. It opens a file that is cut off, or no
ArrayRecord file at all, as one without records: such a file is an error here.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from array_record.python.array_record_module import ArrayRecordReader

from specflow import DataError, SpecflowWarning, data
from specflow.diagnostics.errors import Diagnostic
from specflow_records._core.example import example_columns

__all__ = ["ArrayRecords", "number_of_records"]

_BUFFER = "readahead_buffer_size:0"
"""Reads at random need no buffer of what follows."""


class ArrayRecords:
    """The records of files.

    Args:
        written: paths and globs.
        payload: content of a record.
        key: dotted key of the paths, for messages.

    Raises:
        DataError: a file is missing, damaged or cut off.
    """

    def __init__(
        self,
        written: Sequence[str],
        *,
        payload: Literal["example", "bytes"],
        key: str,
    ):
        files = data.record_files(written, key=key)
        self.files: Mapping[str, str] = {file.name: file.digest for file in files}
        self._names = [file.name for file in files]
        self._readers = _opened(files)
        sizes = [reader.num_records() for reader in self._readers]
        self._firsts = np.cumsum([0, *sizes])
        self._payload = payload
        text = data.RecordField(kind="text", about="bytes")
        self.fields = {"record": text} if payload == "bytes" else None
        _warn_of_groups(self._names, self._readers)

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def place(self, row: int) -> str:
        """File and number of a record."""
        file = int(np.searchsorted(self._firsts, row, side="right")) - 1
        return f"{self._names[file]}, record {row - int(self._firsts[file])}"

    def read(
        self, rows: npt.NDArray[np.int64], fields: Sequence[str] | None
    ) -> dict[str, Any]:
        """Reads records: field -> its value in each."""
        contents = self._contents(rows)
        if self._payload == "bytes":
            return {"record": contents}
        return example_columns(enumerate(contents), fields, rows, self.place)

    def _contents(self, rows: npt.NDArray[np.int64]) -> list[bytes]:
        contents: list[bytes] = [b""] * len(rows)
        files = np.searchsorted(self._firsts, rows, side="right") - 1
        for file in np.unique(files).tolist():
            places = np.flatnonzero(files == file)
            # In ascending order, in which the file is read fastest.
            places = places[np.argsort(rows[places], kind="stable")]
            numbers = (rows[places] - self._firsts[file]).tolist()
            read = self._read(file, numbers)
            for place, content in zip(places.tolist(), read, strict=True):
                contents[place] = content
        return contents

    def _read(self, file: int, numbers: list[int]) -> Sequence[bytes]:
        try:
            return self._readers[file].read(numbers)
        except (RuntimeError, ValueError, IndexError) as error:
            name = self._names[file]
            raise _damaged(name, f"cannot be read: {_first_line(error)}") from error


def number_of_records(written: Sequence[str], *, key: str) -> int:
    """Number of records of files."""
    files = data.record_files(written, key=key)
    return sum(reader.num_records() for reader in _opened(files))


def _opened(files: Sequence[data.RecordFile]) -> list[Any]:
    readers: list[Any] = []
    problems: list[Diagnostic] = []
    for file in files:
        try:
            reader = ArrayRecordReader(str(file.path), _BUFFER)
            is_whole = reader.ok() and reader.num_records() > 0
        except (RuntimeError, ValueError) as error:
            problems += _damaged(file.name, _first_line(error)).diagnostics
            continue
        if not is_whole:
            problem = "has no records: it is cut off, or no ArrayRecord file"
            problems += _damaged(file.name, problem).diagnostics
        readers.append(reader)
    if problems:
        raise DataError(*problems)
    return readers


def _warn_of_groups(names: Sequence[str], readers: Sequence[Any]) -> None:
    """Warns of files of which a read of one record decodes many."""
    groups = {
        name: int(found[1])
        for name, reader in zip(names, readers, strict=True)
        if (found := re.search(r"group_size:(\d+)", reader.writer_options_string()))
    }
    wrong = {name: size for name, size in groups.items() if size > 1}
    if not wrong:
        return
    name, size = next(iter(wrong.items()))
    others = f", and {len(wrong) - 1} further files have some" if len(wrong) > 1 else ""
    warnings.warn(
        SpecflowWarning(
            Diagnostic(
                name,
                f"has groups of {size:,} records{others}: a read of one record decodes "
                "its whole group",
                expected="files of group_size:1, for records in random order",
                hint="Write them with ArrayRecordWriter(path, 'group_size:1').",
                code="record-group",
            )
        ),
        stacklevel=2,
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _damaged(name: str, problem: str) -> DataError:
    return DataError(
        Diagnostic(
            name,
            problem,
            expected="an ArrayRecord file",
            hint="Copy or write the file again.",
            code="data-file",
        )
    )
