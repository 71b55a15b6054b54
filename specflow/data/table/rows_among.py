"""Rows that are among others, for few rows or few others."""

import numpy as np
import numpy.typing as npt

__all__ = ["are_among", "rows_among"]

Rows = npt.NDArray[np.int64]


def are_among(rows: Rows, few: Rows) -> npt.NDArray[np.bool_]:
    """Mask of the rows that are among a few others."""
    return np.isin(rows, few) if few.size else np.zeros(len(rows), np.bool_)


def rows_among(few: Rows, rows: Rows) -> Rows:
    """The few rows that are among others, which ascend.

    >>> rows_among(np.array([5, 2, 9]), np.array([2, 3, 5]))
    array([5, 2])
    """
    if not few.size or not rows.size:
        return few[:0]
    places = np.minimum(np.searchsorted(rows, few), len(rows) - 1)
    return few[rows[places] == few]
