"""Rows of features and labels in one file, which are read in any order."""

import hashlib
import itertools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.data.array_tree import map_leaves
from specflow.data.source import Rows
from specflow.data.table.read_progress import ReadProgress
from specflow.data.table.streamed_source import StreamedSource
from specflow.data.table.table_cells import TableCells
from specflow.data.table.text_store import NewFolder, cache_folder
from specflow.runtime.typing import Tree

__all__ = ["RowStore"]

_FORMAT = 1
_FILE = "rows.bin"


class RowStore:
    """The rows of a streamed split, from a store that is written if there is none.

    Each row is a record of fixed size, so that it is read by its number; a uniform
    permutation of all rows costs one read of the disk or the page cache a row.

    Args:
        source: the rows.
        key: of the split and what makes its features.

    Raises:
        DataError: cells are wrong, or the store cannot be written.
    """

    def __init__(self, source: StreamedSource, key: str):
        self._source = source
        self.origin, self.digest = source.origin, source.digest
        self._record = np.dtype(
            [
                (f"f{place}", spec.dtype, spec.shape)
                for place, spec in enumerate(_listed(source.spec()))
            ]
        )
        content = f"{_FORMAT} {key} {self._record.descr}"
        name = hashlib.sha256(content.encode()).hexdigest()[:32]
        folder = cache_folder() / name
        if not (folder / _FILE).is_file():
            self._write(folder)
        self._file = os.open(folder / _FILE, os.O_RDONLY)

    def __len__(self) -> int:
        return len(self._source)

    def __del__(self) -> None:
        if (file := getattr(self, "_file", None)) is not None:
            os.close(file)

    def spec(self) -> tuple[Tree, Tree]:
        """A `RowSpec` in place of each array of features and labels."""
        return self._source.spec()

    def take(self, rows: Rows) -> tuple[Tree, Tree]:
        """Returns features and labels of some rows."""
        size = self._record.itemsize
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                content = _read(self._file, (stop - start) * size, start * size)
                return self._trees(np.frombuffer(content, self._record))
            rows = np.arange(start, stop, step)
        file, read = self._file, os.pread
        records = [read(file, size, row * size) for row in rows.tolist()]
        return self._trees(np.frombuffer(b"".join(records), self._record))

    def column(self, path: str) -> npt.NDArray[Any]:
        """All rows of the array at `path`."""
        return self._source.column(path)

    def column_blocks(self, path: str) -> Any:
        """Yields the array at `path`, such as `labels`, block by block."""
        return self._source.column_blocks(path)

    @property
    def ids(self) -> dict[str, npt.NDArray[Any]]:
        """Name -> identifier of each row, text or integers."""
        return self._source.ids

    def place(self, row: int) -> str:
        """The file and line of a row of this split."""
        return self._source.place(row)

    def cell_parts(self) -> Iterator[tuple[TableCells, Rows]]:
        """Yields parts of the table, and the rows of this split in each of them."""
        return self._source.cell_parts()

    def raw(self, rows: slice) -> dict[str, list[Any]]:
        """Raw values of some rows by column, as the files have them."""
        return self._source.raw(rows)

    def served_raw(self, rows: slice) -> dict[str, list[Any]]:
        """Raw values of some rows as a client sends them: the bytes of images."""
        return self._source.served_raw(rows)

    def _write(self, folder: Any) -> None:
        what = f"the row store of the {self.origin}"
        progress = ReadProgress(f"writing {what}", len(self))
        with NewFolder(folder, what) as new, (new / _FILE).open("wb") as file:
            for part in self._source.parts():
                records = np.empty(len(part), self._record)
                for place, array in enumerate(_listed(part.take(slice(None)))):
                    records[f"f{place}"] = array
                records.tofile(file)
                progress.advance(len(part))

    def _trees(self, records: npt.NDArray[Any]) -> tuple[Tree, Tree]:
        places = iter(itertools.count())
        features, labels = self.spec()

        def field(_: Any) -> npt.NDArray[Any]:
            return np.ascontiguousarray(records[f"f{next(places)}"])

        return map_leaves(field, features), map_leaves(field, labels)


def _listed(tree: Tree) -> list[Any]:
    """Leaves in the order in which `map_leaves` goes through them."""
    leaves: list[Any] = []
    map_leaves(leaves.append, tree)
    return leaves


def _read(file: int, size: int, offset: int) -> bytes:
    """Reads bytes; the system reads at most 2 GiB at once."""
    parts = []
    while size:
        part = os.pread(file, min(size, 1 << 30), offset)
        if not part:
            raise OSError(f"the row store ends {size} bytes early")
        parts.append(part)
        size, offset = size - len(part), offset + len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
