"""Blocks of rows of a table that are read whole: row groups and record batches."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from specflow.data.table.table_cells import BadCellCounts, TableCells
from specflow.data.table.table_files import TableFile
from specflow.data.table.table_reader import FileRows, plain_column

__all__ = ["Block", "BlockReader", "TableBlocks"]


class BlockReader(Protocol):
    """Reads the blocks of one file."""

    def names(self) -> list[str]:
        """Columns of the file."""
        ...

    def sizes(self) -> list[int]:
        """Number of rows of each block."""
        ...

    def bytes_of(self, names: Sequence[str]) -> int:
        """Bytes of columns in memory, of all rows."""
        ...

    def read(self, number: int, names: Sequence[str]) -> Iterator[Any]:
        """Yields the rows of a block, as Arrow record batches or dicts of lists."""
        ...

    def typed(self) -> Any:
        """An Arrow table without rows, whose columns have the types of all cells; None:
        cells of a column differ in type.
        """
        ...

    def first_line(self, number: int) -> int | None:
        """Line of the first row of a block, if every row is one line."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of a file that are read together."""

    file: int
    """Index of the file."""
    number: int
    """Index of the block in its file."""
    first_row: int
    """Number of its first row in the table."""
    row_of_file: int
    """Number of its first row in the file."""
    rows: int


class TableBlocks:
    """The blocks of all files, in order.

    Args:
        files: the files.
        readers: reader of each file.
        missing: texts of a missing number.
    """

    def __init__(
        self,
        files: Sequence[TableFile],
        readers: Sequence[BlockReader],
        missing: tuple[str, ...],
    ):
        self.files = list(files)
        self._readers = list(readers)
        self._missing = missing
        self.blocks: list[Block] = []
        first = 0
        for index, reader in enumerate(readers):
            in_file = 0
            for number, rows in enumerate(reader.sizes()):
                self.blocks.append(Block(index, number, first, in_file, rows))
                first, in_file = first + rows, in_file + rows
        self.rows = first
        """Number of rows of the table."""
        self.firsts = np.array([block.first_row for block in self.blocks])
        """Number of the first row of each block."""

    @property
    def names(self) -> list[str]:
        """Columns of the table."""
        return self._readers[0].names()

    def typed(self, name: str) -> list[TableCells] | None:
        """A column of each file without rows; None: its cells differ in type."""
        tables = [reader.typed() for reader in self._readers]
        if any(table is None for table in tables):
            return None
        return [
            TableCells([FileRows(file, 0, None, {name: plain_column(column)})])
            for file, table in zip(self.files, tables, strict=True)
            for column in [table[name].combine_chunks()]
        ]

    def block_at(self, row: int) -> int:
        """Index of the block of a row."""
        return int(np.searchsorted(self.firsts, row, side="right")) - 1

    def read(
        self,
        index: int,
        names: Sequence[str],
        counts: BadCellCounts | None = None,
    ) -> Iterator[tuple[int, TableCells]]:
        """Yields the cells of a block, in parts of at most `part_rows` rows.

        Args:
            index: of the block.
            names: columns to read.
            counts: counts bad cells over parts.

        Returns:
            For each part: number of its first row in the table, and its cells.
        """
        block = self.blocks[index]
        reader, file = self._readers[block.file], self.files[block.file]
        line = reader.first_line(block.number)
        done = 0
        for batch in reader.read(block.number, names):
            columns = {
                name: cells if isinstance(cells, list) else plain_column(cells)
                for name in names
                for cells in [batch[name]]
            }
            size = len(next(iter(columns.values())))
            rows = FileRows(
                file,
                size,
                None if line is None else line + done,
                columns,
                first_row=block.row_of_file + done,
            )
            yield block.first_row + done, TableCells([rows], self._missing, counts)
            done += size
