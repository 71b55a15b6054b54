"""Writes columns of arrays to Parquet."""

import io
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

__all__ = ["ParquetRows"]

_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 64 << 20
"""Size of a row group: rows are buffered up to either limit."""


class ParquetRows:
    """Writes batches of columns, some tens of thousands of rows at a time.

    Args:
        path: file to write; may be a pipe, as it is written sequentially.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "rows.parquet"
    >>> with ParquetRows(path) as rows:
    ...     rows.write({"class": np.array([1, 2]), "pair": np.ones((2, 2))})
    >>> import pyarrow.parquet as pq
    >>> pq.read_table(path).to_pylist()
    [{'class': 1, 'pair': [1.0, 1.0]}, {'class': 2, 'pair': [1.0, 1.0]}]
    """

    def __init__(self, path: Path):
        self._stream = _Forward(io.FileIO(path, "a"))
        self._writer: Any = None
        self._buffered: list[Any] = []

    def write(self, columns: Mapping[str, np.ndarray]) -> None:
        """Adds rows.

        Args:
            columns: arrays by name, rows first; further axes become lists, or nested
                lists, of a fixed size.
        """
        import pyarrow as pa

        self._buffered.append(
            pa.table({name: _column(array) for name, array in columns.items()})
        )
        if (
            sum(table.num_rows for table in self._buffered) >= _GROUP_ROWS
            or sum(table.nbytes for table in self._buffered) >= _GROUP_BYTES
        ):
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stream:
            if kind is None:
                self._flush()
            if self._writer is not None:
                self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        # Without rows there are no columns; the file is still valid Parquet.
        table = pa.concat_tables(self._buffered) if self._buffered else pa.table({})
        self._buffered.clear()
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._stream, table.schema, write_page_checksum=True
            )
        if table.num_rows:
            self._writer.write_table(table)


class _Forward(io.BufferedWriter):
    """A stream that counts its position, since a pipe has none."""

    _position = 0

    def write(self, content: Any, /) -> int:
        count = super().write(content)
        self._position += count
        return count

    def tell(self) -> int:
        return self._position


def _column(array: np.ndarray) -> Any:
    import pyarrow as pa

    column = pa.array(np.ascontiguousarray(array).reshape(-1))
    for axis in range(array.ndim - 1, 0, -1):
        if size := array.shape[axis]:
            column = pa.FixedSizeListArray.from_arrays(column, size)
        else:  # Arrow has no fixed size of 0.
            offsets = np.zeros(math.prod(array.shape[:axis]) + 1, np.int32)
            column = pa.ListArray.from_arrays(pa.array(offsets), column)
    return column
