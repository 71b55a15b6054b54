"""Reads Parquet and Arrow files by blocks: row groups, and record batches."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from specflow.data.table.read_retries import read_retried, retried_items
from specflow.data.table.table_files import TableFile, unreadable

__all__ = ["JSON_CELLS", "PART_ROWS", "ArrowBlocks", "ParquetBlocks", "part_rows"]

PART_ROWS, _FEWEST_ROWS = 1 << 17, 1 << 14
"""Largest number of rows that are parsed together, of few columns and of many."""
_PART_BYTES = 24 << 20
"""Largest size of their cells, of 8 bytes each, which bounds the memory of that."""
JSON_CELLS = b"specflow.json"
"""Key of the schema of an Arrow file whose cells are texts of JSON values."""
_AHEAD_BYTES = 1 << 20
_WHOLE_BYTES = 64 << 20
"""Largest size of a row group whose columns are read one after the other."""
_TOGETHER = 8
"""Columns that are read at the same time: each takes several times its size then."""

Result = TypeVar("Result")
_OTHER_ARROW = {b"FEA1": "Feather of version 1", b"\xff" * 4: "a stream of Arrow"}
"""First bytes of formats that have the suffix of another one -> their name."""


def part_rows(columns: int) -> int:
    """Largest number of rows of some columns that are parsed together.

    >>> part_rows(20), part_rows(50), part_rows(1_000)
    (131072, 62914, 16384)
    """
    fitting = max(_FEWEST_ROWS, _PART_BYTES // (8 * max(1, columns)))
    return min(PART_ROWS, fitting)


class ParquetBlocks:
    """Row groups of a Parquet file.

    Args:
        file: the file.

    Raises:
        DataError: it cannot be read.
    """

    def __init__(self, file: TableFile):
        self._file = file
        # Metadata alone is held; a file is open while it is read.
        self._metadata: Any = None
        self._metadata = _guarded(file, lambda: self._open().metadata)
        self._schema = self._metadata.schema.to_arrow_schema()

    def names(self) -> list[str]:
        """Columns of the file."""
        return list(self._schema.names)

    def typed(self) -> Any:
        """A table without rows, whose columns have the types of all cells."""
        return self._schema.empty_table()

    def sizes(self) -> list[int]:
        """Number of rows of each row group."""
        groups = range(self._metadata.num_row_groups)
        return [self._metadata.row_group(number).num_rows for number in groups]

    def bytes_of(self, names: Sequence[str]) -> int:
        """Bytes of columns in memory, at least 8 a cell."""
        sizes = dict.fromkeys(names, 0)
        for number in range(self._metadata.num_row_groups):
            group = self._metadata.row_group(number)
            for index in range(group.num_columns):
                column = group.column(index)
                name = column.path_in_schema.partition(".")[0]
                if name in sizes:
                    sizes[name] += column.total_uncompressed_size
        return sum(max(8 * self._metadata.num_rows, size) for size in sizes.values())

    def read(self, number: int, names: Sequence[str]) -> Iterator[Any]:
        """Yields the rows of a row group, at most `part_rows` at once."""
        batches = retried_items(self._file.name, lambda: self._batches(number, names))
        while (batch := _guarded(self._file, lambda: next(batches, None))) is not None:
            yield batch

    def first_line(self, number: int) -> None:
        """None: rows have no lines."""

    def _batches(self, number: int, names: Sequence[str]) -> Iterator[Any]:
        size, group = part_rows(len(names)), self._metadata.row_group(number)
        if group.num_rows <= size and group.total_byte_size <= _WHOLE_BYTES:
            yield self._whole(number, names)
            return
        # Pages are read as they are needed: a row group is never held whole.
        with self._open(buffer_size=_AHEAD_BYTES) as opened:
            yield from opened.iter_batches(
                size, row_groups=[number], columns=list(names), use_threads=True
            )

    def _whole(self, number: int, names: Sequence[str]) -> dict[str, Any]:
        """Column -> all cells of a row group, read some columns at a time."""
        columns: dict[str, Any] = {}
        with self._open() as opened:
            for start in range(0, len(names), _TOGETHER):
                table = opened.read_row_group(
                    number, columns=list(names[start : start + _TOGETHER])
                )
                for name in table.column_names:
                    cells = table[name]
                    is_one = cells.num_chunks == 1
                    columns[name] = cells.chunk(0) if is_one else cells.combine_chunks()
        return columns

    def _open(self, buffer_size: int = 0) -> Any:
        import pyarrow.parquet as pq

        return pq.ParquetFile(
            self._file.path,
            metadata=self._metadata,
            buffer_size=buffer_size,
            pre_buffer=False,
        )


class ArrowBlocks:
    """Record batches of an Arrow file.

    Args:
        file: the file, for messages.
        path: path of its content, if that is in a store.
        first_lines: line of the first row of each batch, for a store of a text file.
    """

    def __init__(
        self,
        file: TableFile,
        path: Any = None,
        first_lines: Sequence[int | None] | None = None,
    ):
        self._file, self._path = file, file.path if path is None else path
        self._first_lines = first_lines
        self._schema, self._sizes = _guarded(file, self._scan)
        self._names: list[str] = list(self._schema.names)
        self._is_json = JSON_CELLS in (self._schema.metadata or {})

    def names(self) -> list[str]:
        """Columns of the file."""
        return self._names

    def typed(self) -> Any:
        """A table without rows, whose columns have the types of all cells; None: cells
        of a column differ in type.
        """
        return None if self._is_json else self._schema.empty_table()

    def sizes(self) -> list[int]:
        """Number of rows of each record batch."""
        return self._sizes

    def bytes_of(self, names: Sequence[str]) -> int:
        """Bytes of columns in memory, at least 8 a cell."""
        share = len(names) / max(1, len(self._names))
        held = int(self._path.stat().st_size * share)
        return max(held, 8 * sum(self._sizes) * len(names))

    def read(self, number: int, names: Sequence[str]) -> Iterator[Any]:
        """Yields the rows of a record batch, at most `part_rows` at once."""
        batch = _guarded(self._file, lambda: self._batch(number, names))
        size = part_rows(len(names))
        for start in range(0, batch.num_rows, size):
            part = batch.slice(start, size)
            yield _of_json(part) if self._is_json else part

    def first_line(self, number: int) -> int | None:
        """Line of the first row of a block, if every row is one line."""
        return None if self._first_lines is None else self._first_lines[number]

    def _scan(self) -> tuple[Any, list[int]]:
        import pyarrow as pa

        with self._path.open("rb") as opened:
            other = _OTHER_ARROW.get(opened.read(4))
        if other is not None:
            raise unreadable(self._file, f"is {other}, which has no index of its rows")
        # Mapped and of one column: bodies of the batches are not read.
        with pa.memory_map(str(self._path)) as content:
            schema = pa.ipc.open_file(content).schema
            options = pa.ipc.IpcReadOptions(included_fields=[0])
            reader = pa.ipc.open_file(content, options=options)
            sizes = [
                reader.get_batch(number).num_rows
                for number in range(reader.num_record_batches)
            ]
        return schema, sizes

    def _batch(self, number: int, names: Sequence[str]) -> Any:
        import pyarrow as pa

        places = [self._names.index(name) for name in names]
        options = pa.ipc.IpcReadOptions(included_fields=places)
        with pa.OSFile(str(self._path)) as content:
            return pa.ipc.open_file(content, options=options).get_batch(number)


def _of_json(batch: Any) -> dict[str, list[Any]]:
    """Column -> values of the texts of JSON."""
    known: dict[str, Any] = {}
    columns = {}
    for name in batch.schema.names:
        texts = batch.column(name).to_pylist()
        for text in texts:
            if text not in known:
                known[text] = json.loads(text)
        columns[name] = [known[text] for text in texts]
    return columns


def _guarded(file: TableFile, read: Callable[[], Result]) -> Result:
    import pyarrow as pa

    try:
        return read_retried(file.name, read)
    except (pa.ArrowException, OSError) as error:
        first = str(error).strip().split("\n")[0]
        raise unreadable(file, f"cannot be read: {first}") from error
