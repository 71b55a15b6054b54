"""Passes over the rows of a table that the fits of several columns share.

A large table is read for each pass, and reading takes longer than what is done with the
cells. So a fit is a generator that yields what it wants of the next pass, and all that
wait are served by one.
"""

import dataclasses
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from specflow.data.table.table_cells import TableCells

__all__ = ["Fit", "RowsPass", "fitted_alone", "fitted_together"]

Rows = npt.NDArray[np.int64]
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True, slots=True)
class RowsPass:
    """What a fit wants of a pass."""

    names: Sequence[str]
    """Columns to read."""
    add: Callable[[int, TableCells, Rows], bool | None]
    """Takes a part of the table: the number of its first row, its cells, and the rows
    of interest, counted from that row. True: no further part is needed."""


Fit: TypeAlias = Generator[RowsPass, None, Result]
"""A fit, which yields the passes that it needs, one after the other."""


def fitted_together(
    cells: TableCells, rows: Rows, fits: Sequence[Fit[Any]]
) -> list[Any]:
    """Runs fits, and returns their results.

    Args:
        cells: the table.
        rows: the rows of interest, ascending.
        fits: each is resumed after the pass that it has yielded.
    """
    results: list[Any] = [None] * len(fits)
    waiting: dict[int, RowsPass] = {}

    def resume(place: int) -> None:
        try:
            waiting[place] = next(fits[place])
        except StopIteration as ended:
            waiting.pop(place, None)
            results[place] = ended.value

    for place in range(len(fits)):
        resume(place)
    while waiting:
        names = [name for each in waiting.values() for name in each.names]
        active = dict(waiting)
        doing = "fitting columns"
        for first, part, inside in cells.parts(
            list(dict.fromkeys(names)), rows, doing=doing
        ):
            for place, each in list(active.items()):
                if each.add(first, part, inside):
                    del active[place]
            if not active:
                break
        for place in list(waiting):
            resume(place)
    return results


def fitted_alone(cells: TableCells, rows: Rows, fit: Fit[Result]) -> Result:
    """Runs one fit; see `fitted_together`."""
    return fitted_together(cells, rows, [fit])[0]
