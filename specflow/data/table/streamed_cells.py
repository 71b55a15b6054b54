"""Columns of a table that is larger than memory, read one column at a time."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from specflow.columns import CodedTexts
from specflow.data.table.read_progress import ReadProgress
from specflow.data.table.table_blocks import TableBlocks
from specflow.data.table.table_cells import BadCellCounts, TableCells

__all__ = ["StreamedCells"]

Rows = npt.NDArray[np.int64]
Result = TypeVar("Result")


class StreamedCells(TableCells):
    """The cells of a table of which only blocks are in memory.

    Every method of `TableCells` works, and reads the column anew: as numbers it takes 8
    bytes a row, as texts 4 bytes a row and its different texts. The last column that
    was read is kept. What needs no more than a part of the rows at once reads `parts`.

    Args:
        blocks: the blocks of the table.
        names: columns that are read.
        missing: texts of a missing number.
    """

    def __init__(
        self, blocks: TableBlocks, names: Sequence[str], missing: tuple[str, ...]
    ):
        super().__init__((), missing)
        object.__setattr__(self, "blocks", blocks)
        object.__setattr__(self, "_columns", list(names))
        object.__setattr__(self, "_last", {})
        object.__setattr__(self, "_facts", {})

    blocks: TableBlocks
    _columns: list[str]
    _last: dict[tuple[str, str], Any]
    _facts: dict[tuple[str, str], Any]

    def __len__(self) -> int:
        return self.blocks.rows

    @property
    def names(self) -> list[str]:
        """Names of the columns that are read."""
        return self._columns

    def folders(self, rows: Rows, root: str | None = None) -> list[Path]:
        """Folder of the relative paths in some rows."""
        if root is not None:
            return super().folders(rows, root)
        blocks = [self.blocks.blocks[self.blocks.block_at(row)] for row in rows]
        return [self.blocks.files[block.file].folder for block in blocks]

    def parts(
        self,
        names: Sequence[str],
        rows: Rows | None = None,
        counts: BadCellCounts | None = None,
        *,
        doing: str = "",
    ) -> Iterator[tuple[int, TableCells, Rows]]:
        """Yields parts of the table, in order.

        Args:
            names: columns to read.
            rows: rows of interest, ascending; blocks without any are not read. None:
                all.
            counts: counts bad cells over parts.
            doing: what is being done, for the progress of a long pass.

        Returns:
            For each part: number of its first row, its cells, and the rows of interest
            in it, counted from that row.
        """
        progress = ReadProgress(doing or f"reading {', '.join(names)}", len(self))
        for index, block in enumerate(self.blocks.blocks):
            stop = block.first_row + block.rows
            if rows is not None and np.diff(
                np.searchsorted(rows, [block.first_row, stop])
            ) == [0]:
                progress.advance(block.rows)
                continue
            for first, cells in self.blocks.read(index, names, counts):
                inside = np.arange(len(cells))
                if rows is not None:
                    start, end = np.searchsorted(rows, [first, first + len(cells)])
                    inside = rows[start:end] - first
                yield first, cells, inside
                progress.advance(len(cells))

    def place(self, row: int) -> str:
        """The file and line of a row."""
        first, cells = self._part_of(row)
        return cells.place(row - first)

    def value(self, name: str, row: int) -> Any:
        """The raw value of a cell."""
        first, cells = self._part_of(row)
        return cells.value(name, row - first)

    def numbers(self, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
        """All cells of a column as float64, NaN where missing, and rows of bad ones."""

        def read() -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
            values, bad = np.empty(len(self), np.float64), []
            for first, cells, _ in self.parts([name]):
                values[first : first + len(cells)], wrong = cells.numbers(name)
                bad.append(wrong + first)
            return values, np.concatenate(bad)

        return self._kept("numbers", name, read)

    def texts(self, name: str) -> CodedTexts:
        """All cells of a column as texts of categories; empty where missing."""

        def read() -> CodedTexts:
            known: dict[str, int] = {}
            codes = []
            for _, cells, _ in self.parts([name]):
                part = cells.texts(name)
                places = [known.setdefault(text, len(known)) for text in part.texts]
                codes.append(np.array(places, np.int32)[part.codes])
            return CodedTexts(np.concatenate(codes), list(known))

        return self._kept("texts", name, read)

    def codes(self, name: str) -> npt.NDArray[np.int64]:
        """Rows of texts of digits that begin with a zero, such as 007."""
        found = [cells.codes(name) + first for first, cells, _ in self.parts([name])]
        return np.concatenate(found)

    def integers(self, name: str) -> npt.NDArray[np.int64] | None:
        """All cells of a column of integers; None if it has others or lacks one."""
        found = []
        for _, cells, _ in self.parts([name]):
            whole = cells.integers(name)
            if whole is None:
                return None
            found.append(whole)
        return np.concatenate(found)

    def times(self, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
        """All cells of a column as numbers that grow with time, and bad rows."""
        if not self.is_other(name) and not self.numbers(name)[1].size:
            return super().times(name)
        seconds = self.seconds(name)
        return seconds, np.flatnonzero(np.isnan(seconds))

    def seconds(self, name: str) -> npt.NDArray[np.float64]:
        """All cells of a column as seconds since 1970, NaN where they are no time."""
        return np.concatenate(
            [cells.seconds(name) for _, cells, _ in self.parts([name])]
        )

    def raw(self, name: str, rows: npt.NDArray[np.int64]) -> Any:
        """Raw values of some rows of a column: a list, or an array of times.

        Args:
            name: the column.
            rows: numbers of the rows, ascending.
        """
        parts = [cells.raw(name, at) for _, cells, at in self.parts([name], rows)]
        if parts and all(isinstance(part, np.ndarray) for part in parts):
            return np.concatenate(parts)
        return [value for part in parts for value in part]

    def are_times(self, name: str) -> bool:
        """True if all cells are dates or times of Arrow."""
        return all(self._of_blocks("are_times", name))

    def are_lists_of_texts(self, name: str) -> bool:
        """True if all cells are lists of texts."""
        return all(self._of_blocks("are_lists_of_texts", name))

    def is_text(self, name: str) -> bool:
        """True if the cells of a block are texts."""
        return any(self._of_blocks("is_text", name))

    def is_boolean(self, name: str) -> bool:
        """True if all cells are booleans."""
        return all(self._of_blocks("is_boolean", name))

    def is_other(self, name: str) -> bool:
        """True if cells are neither texts, numbers nor booleans, such as times."""
        return any(self._of_blocks("is_other", name))

    def text_files(self, name: str) -> dict[bool, str]:
        """A file in which cells are texts, under True, and one in which none is."""
        named: dict[bool, str] = {}
        for each in self._of_blocks("text_files", name):
            named = each | named
        return named

    def type_names(self, name: str) -> list[str]:
        """Types of cells that are neither texts, numbers nor booleans."""
        return sorted(
            {kind for each in self._of_blocks("type_names", name) for kind in each}
        )

    def _of_blocks(self, method: str, name: str) -> list[Any]:
        """The result of a method for each part that is not empty of values."""
        key = method, name
        if key not in self._facts:
            every, present = [], []
            # Cells of JSON have types of their own, and are read.
            typed = self.blocks.typed(name)
            parts = (cells for _, cells, _ in self.parts([name]))
            for cells in parts if typed is None else typed:
                every.append(getattr(cells, method)(name))
                column = cells.files[0].columns[name]
                if not isinstance(column, list) or any(
                    value is not None for value in column
                ):
                    present.append(every[-1])
            self._facts[key] = present or every
        return self._facts[key]

    def _part_of(self, row: int) -> tuple[int, TableCells]:
        key = "part", ""
        first, cells = self._last.get(key, (0, None))
        if cells is None or not first <= row < first + len(cells):
            index = self.blocks.block_at(row)
            for first, cells in self.blocks.read(index, self._columns):
                if row < first + len(cells):
                    break
            self._last[key] = first, cells
        return self._last[key]

    def _kept(self, method: str, name: str, read: Callable[[], Result]) -> Result:
        """A column as read last, of which one is kept."""
        for key in [key for key in self._last if key[1] not in (name, "")]:
            del self._last[key]
        if (method, name) not in self._last:
            self._last[method, name] = read()
        return self._last[method, name]
