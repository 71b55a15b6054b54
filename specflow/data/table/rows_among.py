"""Rows that are among others, for few rows or few others."""

import numpy as np
import numpy.typing as npt

__all__ = ["are_among", "rows_among"]

Rows = npt.NDArray[np.int64]
_FEW = 10_000
"""Rows that are looked up one by one: for more, a mask of all takes less time."""


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
    if few.size > _FEW and rows[-1] < 1 << 31:
        is_inside = np.zeros(int(max(rows[-1], few.max())) + 1, np.bool_)
        is_inside[rows] = True
        return few[is_inside.take(few)]
    places = np.minimum(np.searchsorted(rows, few), len(rows) - 1)
    return few[rows[places] == few]
