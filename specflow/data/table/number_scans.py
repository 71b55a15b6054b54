"""The cells of columns of numbers, as the passes over a table see them."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from specflow.columns.number_column import NumberColumn
from specflow.columns.number_statistics import NumberStatistics
from specflow.data.table.rows_among import rows_among
from specflow.data.table.table_cells import TableCells

__all__ = [
    "CellScan",
    "NumberScan",
    "training_chunks",
    "training_numbers",
    "valid_numbers",
]

Rows = npt.NDArray[np.int64]
_CHUNK = 1 << 16
"""Numbers that `NumberStatistics` takes together."""


class CellScan(Protocol):
    """The first pass over a column that may be one of numbers."""

    wrong: list[Rows]
    """Training rows whose cells are no numbers."""
    present: int
    """Number of training rows with a number."""

    def add(self, first: int, part: TableCells, inside: Rows) -> None:
        """Adds a part of the table."""
        ...


@dataclasses.dataclass(eq=False)
class NumberScan:
    """The first pass over a column of numbers."""

    name: str
    """The column of the files."""
    statistics: NumberStatistics
    """Gets the numbers of the training rows, as long as none is wrong."""
    unfitted: NumberColumn | None = None
    """Tells which numbers cannot be fitted to; None: all can."""
    takes_missing: bool = True
    """False: a missing number is one of those."""
    wrong: list[Rows] = dataclasses.field(default_factory=list)
    """Training rows whose cells are no numbers."""
    outside: list[Rows] = dataclasses.field(default_factory=list)
    """Training rows whose numbers cannot be fitted to."""
    present: int = 0
    """Number of training rows with a number."""
    _rows: int = 0
    _bad: int = 0
    _low: float = math.inf
    _high: float = -math.inf
    _misses: bool = False

    def add(self, first: int, part: TableCells, inside: Rows) -> None:
        """Adds a part of the table."""
        numbers, bad = self._read(part)
        if bad.size and (rows := rows_among(bad, inside)).size:
            self.wrong.append(first + rows)
        for rows, values in training_chunks(numbers, inside):
            self._add(first, rows, values)

    def _add(self, first: int, inside: Rows, values: npt.NDArray[np.float64]) -> None:
        """Adds numbers of some training rows of a part."""
        if self.unfitted is not None:
            outside = self.unfitted.outside(values)
            if self.takes_missing:
                outside &= ~np.isnan(values)
            if outside.any():
                self.outside.append(first + inside[outside])
        before = self.statistics.present
        if not self.wrong and not self.outside:
            self.statistics.add(values)
            self.present += self.statistics.present - before
        else:
            self.present += int(np.count_nonzero(~np.isnan(values)))

    def proves(self, column: NumberColumn, rows: int) -> bool:
        """True if all cells of the table are known to be valid, as its features are.

        Every step that makes a feature keeps the order of numbers: what holds of the
        extremes, and of a missing number, holds of all.

        Args:
            column: the fitted column.
            rows: number of rows of the table.
        """
        if self._rows != rows or self._bad or self._low > self._high:
            return False
        if column == NumberColumn(fill=column.fill, sources=column.sources):
            return False  # Whether float32 holds them depends on all of them.
        ends = np.array([self._low, self._high] + [math.nan] * self._misses)
        return not column.outside(ends).any() and bool(
            np.isfinite(column.apply(ends)).all()
        )

    def _read(self, part: TableCells) -> tuple[npt.NDArray[np.float64], Rows]:
        """Numbers and bad rows of a part, also of other splits, of which it learns."""
        floats = part.floats(self.name)
        if floats is not None and len(floats):
            low, high = float(floats.min()), float(floats.max())
            if math.isfinite(low) and math.isfinite(high):  # As all between are.
                self._rows += len(floats)
                self._low, self._high = min(self._low, low), max(self._high, high)
                return floats, np.array([], np.int64)
        numbers, bad = part.numbers(self.name)
        self._extend(numbers, bad)
        return numbers, bad

    def _extend(self, numbers: npt.NDArray[np.float64], bad: Rows) -> None:
        self._rows += len(numbers)
        self._bad += len(bad)
        if not len(numbers):
            return
        low, high = float(numbers.min()), float(numbers.max())
        if math.isnan(low):
            self._misses = True
            low = float(np.fmin.reduce(numbers))
            high = float(np.fmax.reduce(numbers))
        if not math.isnan(low):
            self._low, self._high = min(self._low, low), max(self._high, high)


def valid_numbers(part: TableCells, name: str) -> npt.NDArray[np.float64]:
    """The numbers of a column whose training rows are known to have no bad cell."""
    floats = part.floats(name)
    return part.numbers(name)[0] if floats is None else floats


def training_chunks(
    numbers: npt.NDArray[np.float64], inside: Rows
) -> Iterator[tuple[Rows, npt.NDArray[np.float64]]]:
    """Yields some rows of interest of a part at a time, and their numbers.

    They fit the cache: the numbers of all rows would be written to memory, and read.
    """
    is_whole = len(inside) == len(numbers)
    for start in range(0, len(inside), _CHUNK):
        some = inside[start : start + _CHUNK]
        yield some, numbers[start : start + _CHUNK] if is_whole else numbers.take(some)


def training_numbers(
    numbers: npt.NDArray[np.float64], inside: Rows
) -> npt.NDArray[np.float64]:
    """The numbers of the rows of interest of a part."""
    return numbers if len(inside) == len(numbers) else numbers.take(inside)
