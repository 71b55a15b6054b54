"""Features of many columns of numbers in one array, written in the cache of a core."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from specflow.columns.number_column import NumberColumn

__all__ = ["JoinedColumn", "write_numbers"]

JoinedColumn = tuple[int, NumberColumn, npt.NDArray[np.float64]]
"""Index of the first feature of a column, the column, and its numbers, float64 "n"."""

_ROWS, _FEWEST_ROWS = 1 << 13, 1 << 10
"""Numbers of rows whose features are written together. The features of whole columns
would be written past the cache, a cache line for each number."""
_SCRATCH = 1 << 18
"""Number of features that are written together, unless rows are the fewest."""
_ASIDE = 80
"""Numbers by which columns are longer than a power of two, at which their places in the
cache would be the same."""


def write_numbers(
    out: npt.NDArray[np.float32], columns: Sequence[JoinedColumn]
) -> None:
    """Writes the features of columns, as `NumberColumn.apply` makes them.

    Args:
        out: features of all columns, float32 "n width".
        columns: in the order of their features.
    """
    runs = [list(run) for _, run in itertools.groupby(columns, _Runs())]
    for run in runs:
        if _is_scaled(run[0][1]):
            _write_scaled(out, run)
            continue
        for start in range(0, len(out), _ROWS):
            rows = slice(start, start + _ROWS)
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
    out: npt.NDArray[np.float32], run: Sequence[JoinedColumn]
) -> None:
    """Writes columns together, as rows that are transposed in the cache."""
    first, width = run[0][0], len(run)
    size = min(len(out), max(_FEWEST_ROWS, min(_ROWS, _SCRATCH // width)))
    moved = np.empty(size)
    scaled = np.empty((width, size + _ASIDE), np.float32)
    with np.errstate(over="ignore"):
        for start in range(0, len(out), size):
            rows = slice(start, min(start + size, len(out)))
            numbers, columns = moved[: rows.stop - start], scaled[:, : rows.stop - start]
            for place, (_, column, values) in enumerate(run):
                np.subtract(values[rows], column.offset, out=numbers)
                numbers /= column.divisor
                columns[place] = numbers
            missing = np.isnan(columns)
            if missing.any():
                for place in np.flatnonzero(missing.any(axis=1)).tolist():
                    _, column, values = run[place]
                    columns[place] = column.apply(values[rows])[:, 0]
            out[rows, first : first + width] = columns.T
