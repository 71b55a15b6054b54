"""Splits the rows of a table by the declared rule and its column."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from specflow.config.sections.table import SplitConfig
from specflow.data.table import row_splits
from specflow.data.table.row_splits import SPLITS, Split
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import DataError, nearest

__all__ = ["split_rows"]


def split_rows(
    split: SplitConfig, cells: TableCells, *, fold: int | None, ids: Sequence[str]
) -> Split:
    """Returns the index of the split of each row, int8 "n".

    Args:
        split: the rule.
        cells: the table.
        fold: the fold that is evaluated on, of `split.folds`.
        ids: columns that identify rows, which a hash without a column reads.

    Raises:
        DataError: a cell of the rule's column is missing, or names no split.
    """
    fractions = (split.eval, split.test)
    column = split.column
    strata = units = None
    if split.by == "column":
        return _named(cells, column or "")
    if split.by == "time":
        times, bad = cells.times(column or "")
        if bad.size:
            expected = "a number, a date or a time, such as 2026-01-31T12:00"
            raise DataError(*cells.bad_cells(column or "", bad, expected))
        return row_splits.by_time(times, fractions)
    if split.by in ("hash", "group"):
        units = _hashed(cells, column, ids, split.seed)
    elif split.by == "stratified":
        strata = cells.texts(column or "")
    return row_splits.by_rule(
        len(cells),
        fractions,
        split.seed,
        units=units,
        strata=strata,
        folds=split.folds,
        fold=fold,
    )


def _hashed(
    cells: TableCells, column: str | None, ids: Sequence[str], seed: int
) -> npt.NDArray[np.float64]:
    """Hash of each row, of its cells that decide its split."""
    names = [column] if column is not None else [*ids] or cells.names
    units, missing = [], []
    for first, part, _ in cells.parts(names, doing="splitting the rows"):
        columns = [part.texts(name) for name in names]
        if column is None:
            rows = ["\x1f".join(row) for row in zip(*columns, strict=True)]
            units.append(row_splits.hash_units(rows, seed))
            continue
        units.append(row_splits.hash_units(columns[0], seed))
        lacks = columns[0].mapped(lambda text: not text)
        missing += (first + np.flatnonzero(lacks)).tolist()
    if column is not None and missing:
        expected = "a value, which decides the split of the row"
        raise DataError(*cells.bad_cells(column, missing, expected))
    return np.concatenate(units)


def _named(cells: TableCells, column: str) -> Split:
    """Splits that a column names."""
    texts = cells.texts(column)
    places = {name: place for place, name in enumerate(SPLITS)}
    found = texts.mapped(lambda text: places.get(text, -1)).astype(np.int8)
    if (wrong := np.flatnonzero(found < 0)).size:
        near = nearest(texts[int(wrong[0])], SPLITS)
        hint = f"Did you mean {near}?" if near else ""
        expected = "train, eval or test"
        raise DataError(*cells.bad_cells(column, wrong.tolist(), expected, hint=hint))
    return found
