"""Features of many columns of numbers in one array, written in the cache of a core."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.columns.number_column import NumberColumn
from specflow.columns.one_hot import one_hot

__all__ = [
    "ChosenNumbers",
    "JoinedColumn",
    "is_scaled",
    "write_joined",
    "write_numbers",
]


class ChosenNumbers:
    """Numbers of some rows of a column, of which slices alone are copied.

    Args:
        numbers: of the column.
        rows: the rows.

    >>> ChosenNumbers(np.array([1.0, 2.0, 3.0]), np.array([0, 2]))[1:]
    array([3.])
    """

    def __init__(self, numbers: npt.NDArray[np.float64], rows: npt.NDArray[np.int64]):
        self._numbers, self._rows = numbers, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: slice) -> npt.NDArray[np.float64]:
        return self._numbers.take(self._rows[place])


JoinedColumn = tuple[int, NumberColumn, npt.NDArray[np.float64] | ChosenNumbers]
"""Index of the first feature of a column, the column, and its numbers, float64 "n"."""

_ROWS, _FEWEST_ROWS = 1 << 13, 1 << 10
"""Numbers of rows whose features are written together. The features of whole columns
would be written past the cache, a cache line for each number."""
_SCRATCH = 1 << 18
"""Number of features that are written together, unless rows are the fewest."""
_ASIDE = 80
"""Numbers by which columns are longer than a power of two, at which their places in the
cache would be the same."""


def write_joined(
    out: npt.NDArray[np.float32] | None,
    numbers: Sequence[JoinedColumn],
    one_hots: Sequence[tuple[slice, npt.NDArray[np.integer[Any]]]],
) -> None:
    """Writes the features of columns some rows at a time, which fit the cache.

    Args:
        out: features of all columns, zeros, float32 "n width"; None: there are none.
        numbers: columns of numbers.
        one_hots: places of one-hot features, and their indices, "n".
    """
    if out is None:
        return
    for start in range(0, len(out), _ROWS):
        rows = slice(start, start + _ROWS)
        some = out[rows]
        for place, indices in one_hots:
            one_hot(indices[rows], place.stop - place.start, out=some[:, place])
        write_numbers(
            some, [(at, column, every[rows]) for at, column, every in numbers]
        )


def write_numbers(
    out: npt.NDArray[np.float32],
    columns: Sequence[JoinedColumn],
    chosen: npt.NDArray[np.int64] | None = None,
) -> bool:
    """Writes the features of columns, as `NumberColumn.apply` makes them.

    Args:
        out: features of all columns, float32 "n width".
        columns: in the order of their features.
        chosen: rows of the columns that are written, ascending, where `is_scaled` holds
            of all columns; None: all rows.

    Returns:
        True if every feature of columns that are only scaled is finite, also in rows
        that are not chosen.

    >>> columns = [(0, NumberColumn(divisor=2.0), np.array([2.0, 4.0, 6.0]))]
    >>> out = np.empty((2, 1), np.float32)
    >>> write_numbers(out, columns, np.array([0, 2]))
    True
    >>> out.ravel()
    array([1., 3.], dtype=float32)
    """
    runs = [list(run) for _, run in itertools.groupby(columns, _Runs())]
    are_finite = True
    for run in runs:
        if is_scaled(run[0][1]):
            are_finite &= _write_scaled(out, run, chosen)
            continue
        for start in range(0, len(out), _ROWS):
            rows = slice(start, start + _ROWS)
            for first, column, numbers in run:
                place = slice(first, first + column.width)
                out[rows, place] = column.apply(numbers[rows])
    return are_finite


class _Runs:
    """Key of runs of columns that are only scaled, with features side by side."""

    def __init__(self) -> None:
        self._key, self._next = 0, -1

    def __call__(self, joined: JoinedColumn) -> int:
        first, column, _ = joined
        if first != self._next or not is_scaled(column):
            self._key += 1
        self._next = first + 1 if is_scaled(column) else -1
        return self._key


def is_scaled(column: NumberColumn) -> bool:
    """True if numbers are filled and scaled, and nothing else."""
    return (
        column.edges is None
        and column.transform is None
        and column.clip == (None, None)
        and not column.indicator
    )


def _write_scaled(
    out: npt.NDArray[np.float32],
    run: Sequence[JoinedColumn],
    chosen: npt.NDArray[np.int64] | None,
) -> bool:
    """Writes columns together, as rows that are transposed in the cache."""
    first, width, count = run[0][0], len(run), len(run[0][2])
    size = max(1, min(count, max(_FEWEST_ROWS, min(_ROWS, _SCRATCH // width))))
    moved = np.empty(size)
    scaled = np.empty((width, size + _ASIDE), np.float32)
    every = np.empty((size, width), np.float32) if chosen is not None else None
    out, are_finite = out[:, first : first + width], True
    for start in range(0, count, size):
        rows = slice(start, min(start + size, count))
        columns = scaled[:, : rows.stop - start]
        are_finite &= _scale(columns, run, rows, moved)
        if chosen is None or every is None:
            out[rows] = columns.T
            continue
        begin, end = np.searchsorted(chosen, [start, rows.stop])
        np.copyto(every[: rows.stop - start], columns.T)
        # Rows are in range: NumPy would write them by way of a copy to check that.
        at = chosen[begin:end] - start
        np.take(every, at, axis=0, out=out[begin:end], mode="clip")
    return are_finite


def _scale(
    out: npt.NDArray[np.float32],
    run: Sequence[JoinedColumn],
    rows: slice,
    moved: npt.NDArray[np.float64],
) -> bool:
    """Writes features of some rows of columns, a column after the other.

    Args:
        out: the features, float32 "width n".
        run: the columns.
        rows: n of their rows.
        moved: scratch of at least n numbers.
    """
    moved = moved[: rows.stop - rows.start]
    with np.errstate(over="ignore"):
        for place, (_, column, values) in enumerate(run):
            np.subtract(values[rows], column.offset, out=moved)
            moved /= column.divisor
            out[place] = moved
    if np.isfinite(out).all():
        return True
    for place in np.flatnonzero(np.isnan(out).any(axis=1)).tolist():
        _, column, values = run[place]
        out[place] = column.apply(values[rows])[:, 0]
    return bool(np.isfinite(out).all())
