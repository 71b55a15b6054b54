"""The rows of one split of a table, as features, labels and ids."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from specflow.columns import (
    CategoryColumn,
    CodedTexts,
    FittedColumns,
    ImageColumn,
    NumberColumn,
)
from specflow.columns.joined_numbers import ChosenNumbers
from specflow.data.narrowing import refuse_wide
from specflow.data.source import ArraySource
from specflow.data.table.encoded_images import EncodedImages
from specflow.data.table.fit_features import PartProblems
from specflow.data.table.image_source import PixelSource
from specflow.data.table.rows_among import are_among
from specflow.data.table.split_labels import split_labels
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = [
    "CellParts",
    "RawRows",
    "TableSource",
    "row_identifiers",
    "split_source",
]

Rows = npt.NDArray[np.int64]
_NO_ROOTS: Mapping[str, str | None] = {}


@runtime_checkable
class RawRows(Protocol):
    """A `Source` of a table, which has the raw values of its rows."""

    def raw(self, rows: slice) -> dict[str, list[Any]]:
        """Raw values of some rows by column, as the files have them."""
        ...

    def served_raw(self, rows: slice) -> dict[str, list[Any]]:
        """Raw values of some rows as a client sends them: the bytes of images."""
        ...


@runtime_checkable
class CellParts(Protocol):
    """A `Source` of a table, which has the cells of its rows by column."""

    def cell_parts(self) -> Iterator[tuple[TableCells, Rows]]:
        """Yields parts of the table, and the rows of the split in each of them."""
        ...


class TableSource(ArraySource):
    """Rows of one split.

    Args:
        cells: the table.
        rows: numbers of the split's rows.
        features: arrays, rows first.
        labels: likewise; None if there are none.
        raw: columns that made the features.
        ids: name -> identifier of each row.
        origin: name of the split, for messages.
    """

    def __init__(
        self,
        cells: TableCells,
        rows: Rows,
        features: Any,
        labels: Any,
        *,
        raw: Sequence[str],
        ids: Mapping[str, Any],
        origin: str,
    ):
        self._cells, self._rows, self._raw = cells, rows, tuple(raw)
        super().__init__(features, labels, ids=ids, origin=origin)

    def place(self, row: int) -> str:
        """The file and line of a row of this split."""
        return self._cells.place(int(self._rows[row]))

    def cell_parts(self) -> Iterator[tuple[TableCells, Rows]]:
        """Yields the table, and the rows of this split."""
        yield self._cells, self._rows

    def raw(self, rows: slice) -> dict[str, list[Any]]:
        """Raw values of some rows by column, as the files have them."""
        numbers: list[int] = self._rows[rows].tolist()
        return {
            name: [self._cells.value(name, row) for row in numbers]
            for name in self._raw
        }

    def served_raw(self, rows: slice) -> dict[str, list[Any]]:
        """Raw values of some rows as a client sends them."""
        return self.raw(rows)


def split_source(
    fitted: FittedColumns,
    cells: TableCells,
    rows: Rows,
    split: str,
    ids: Sequence[str],
    needs_labels: bool,
    roots: Mapping[str, str | None] = _NO_ROOTS,
) -> TableSource | PixelSource:
    """Makes the features of some rows, after a check of every cell.

    Args:
        fitted: makes the features.
        cells: the table.
        rows: numbers of the rows.
        split: name of the split, for messages.
        ids: columns that identify rows, as far as the table has them.
        needs_labels: False: there are no labels.
        roots: column of images -> folder of its relative paths.

    Returns:
        The rows; those with images decode them when they are read.

    Raises:
        DataError: cells are wrong; those of all columns are reported.
    """
    parsed: dict[str, Any] = {}
    images: dict[str, EncodedImages] = {}
    diagnostics: list[Diagnostic] = []
    for name, column in fitted.columns.items():
        sources = fitted.sources_of(name)
        if isinstance(column, ImageColumn):
            root = roots.get(name)
            images[name] = EncodedImages(cells, sources[0], rows, root)
        elif isinstance(column, NumberColumn):
            parsed[name] = _numbers(cells, sources[0], rows, column, diagnostics)
            if not fitted.joined or _is_raw(column):
                parsed[name] = parsed[name][:]
        elif isinstance(column, CategoryColumn):
            parsed[name] = _texts(cells, sources[0], rows, column, diagnostics)
        else:
            values = [cells.raw(source, rows) for source in sources]
            parsed[name], bad = column.parse(values, fitted.missing)
            problems = PartProblems(sources[0])
            problems.add(0, rows, bad)
            diagnostics += problems.diagnostics(cells)
    labels = split_labels(fitted, cells, rows, diagnostics) if needs_labels else None
    if diagnostics:
        raise DataError(*dict.fromkeys(diagnostics))
    raw = [
        (f"features.{name}", parsed[name])
        for name, column in fitted.columns.items()
        if isinstance(column, NumberColumn) and _is_raw(column)
    ]
    refuse_wide(raw, f"{split} split")
    others = {name: fitted.columns[name] for name in parsed}
    features = dataclasses.replace(fitted, columns=others).features(parsed)
    source = TableSource(
        cells,
        rows,
        features | dict.fromkeys(images, np.arange(len(rows))),
        labels,
        raw=fitted.sources,
        ids={
            name: row_identifiers(cells, name, rows)
            for name in ids
            if name in cells.names
        },
        origin=f"{split} split",
    )
    return PixelSource(source, fitted.images, images) if images else source


def _is_raw(column: NumberColumn) -> bool:
    """True if features are the numbers as they are."""
    return column == NumberColumn(fill=column.fill, sources=column.sources)


def _numbers(
    cells: TableCells,
    name: str,
    rows: Rows,
    column: NumberColumn,
    diagnostics: list[Diagnostic],
) -> npt.NDArray[np.float64] | ChosenNumbers:
    numbers, bad = cells.numbers(name)
    is_whole = len(rows) == len(numbers)
    if not bad.size and column.takes_all:
        return numbers if is_whole else ChosenNumbers(numbers, rows)
    values = numbers if is_whole else numbers.take(rows)
    wrong = are_among(rows, bad)
    diagnostics += cells.bad_cells(name, rows[wrong], "a number")
    outside = column.outside(values) & ~wrong
    expected = f"a number that {column} takes" if column.transform else "a number"
    diagnostics += cells.bad_cells(name, rows[outside], expected)
    return values


def _texts(
    cells: TableCells,
    name: str,
    rows: Rows,
    column: CategoryColumn,
    diagnostics: list[Diagnostic],
) -> CodedTexts:
    values = cells.texts(name).take(rows)
    if bad := column.bad_rows(values):
        diagnostics += cells.bad_cells(name, rows[bad].tolist(), column.expected)
    return values


def row_identifiers(cells: TableCells, name: str, rows: Rows) -> npt.NDArray[Any]:
    """Identifiers: integers of a column of integers without a missing one, or texts."""
    whole = cells.integers(name)
    if whole is not None:
        return whole[rows]
    return cells.texts(name).take(rows).mapped(str)
