"""Features of many columns of numbers in one array, written in the cache of a core."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from specflow.columns.number_column import NumberColumn

__all__ = ["JoinedColumn", "write_numbers"]

JoinedColumn = tuple[int, NumberColumn, npt.NDArray[np.float64]]
"""Index of the first feature of a column, the column, and its numbers, float64 "n"."""

_ROWS = 1 << 12
"""Number of rows whose features are written together. The features of whole columns
would be written past the cache, a cache line for each number."""


def write_numbers(
    out: npt.NDArray[np.float32], columns: Sequence[JoinedColumn]
) -> None:
    """Writes the features of columns, as `NumberColumn.apply` makes them.

    Args:
        out: features of all columns, float32 "n width".
        columns: in the order of their features.
    """
    runs = [list(run) for _, run in itertools.groupby(columns, _Runs())]
    for start in range(0, len(out), _ROWS):
        rows = slice(start, start + _ROWS)
        for run in runs:
            if _is_scaled(run[0][1]):
                _write_scaled(out[rows], run, rows)
                continue
            for first, column, numbers in run:
                place = slice(first, first + column.width)
                out[rows, place] = column.apply(numbers[rows])


class _Runs:
    """Key of runs of columns that are only scaled, with features side by side."""

    def __init__(self) -> None:
        self._key, self._next = 0, -1

    def __call__(self, joined: JoinedColumn) -> int:
        first, column, _ = joined
        if first != self._next or not _is_scaled(column):
            self._key += 1
        self._next = first + 1 if _is_scaled(column) else -1
        return self._key


def _is_scaled(column: NumberColumn) -> bool:
    """True if numbers are filled and scaled, and nothing else."""
    return (
        column.edges is None
        and column.transform is None
        and column.clip == (None, None)
        and not column.indicator
    )


def _write_scaled(
    out: npt.NDArray[np.float32], run: Sequence[JoinedColumn], rows: slice
) -> None:
    """Writes columns together: one call of NumPy for all of them."""
    numbers = np.array([values[rows] for _, _, values in run])
    missing = np.isnan(numbers)
    if missing.any():
        fills = [np.nan if column.fill is None else column.fill for _, column, _ in run]
        np.copyto(numbers, np.array(fills)[:, None], where=missing)
    numbers -= np.array([[column.offset] for _, column, _ in run])
    numbers /= np.array([[column.divisor] for _, column, _ in run])
    first = run[0][0]
    with np.errstate(over="ignore"):
        # Rounded first: half as many bytes are transposed.
        out[:, first : first + len(run)] = numbers.astype(np.float32).T
