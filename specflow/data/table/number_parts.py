"""Parts of a table whose features are all scaled numbers, written in place."""

from typing import Any

from specflow.columns import FittedColumns, NumberColumn
from specflow.columns.joined_numbers import JoinedColumn, is_scaled, write_numbers
from specflow.data.array_tree import map_leaves, named_leaves
from specflow.data.narrowing import refuse_wide
from specflow.data.row_order import RowIds
from specflow.data.table.split_labels import split_labels
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.typing import Tree

__all__ = ["are_numbers", "is_written"]


def are_numbers(fitted: FittedColumns) -> bool:
    """True if all features are numbers that are scaled, in one array."""
    columns = fitted.columns.values()
    return fitted.joined and all(
        isinstance(column, NumberColumn)
        and is_scaled(column)
        and column != NumberColumn(fill=column.fill, sources=column.sources)
        for column in columns
    )


def is_written(
    fitted: FittedColumns,
    cells: TableCells,
    rows: RowIds,
    arrays: tuple[Tree, Tree],
    start: int,
) -> bool:
    """Writes features and labels of some rows, unless a cell has to be reported.

    `split_source` makes an array of all rows of the part, and one of the wanted rows.

    Args:
        fitted: columns of which `are_numbers` holds.
        cells: a part of a table.
        rows: the wanted rows, ascending, counted from the first one of the part.
        arrays: features and labels of more rows; None in place of labels: there are
            none.
        start: place of the first row in the arrays.

    Returns:
        False: a cell is no finite number, or no label; what was written does not count.
    """
    joined: list[JoinedColumn] = []
    selects = len(cells) // 2 < len(rows) < len(cells)
    for name, column in fitted.columns.items():
        if not isinstance(column, NumberColumn):
            return False
        source = fitted.sources_of(name)[0]
        numbers = cells.floats(source)  # Infinite ones make features that are.
        if numbers is None:
            numbers, bad = cells.numbers(source)
            if bad.size:
                return False
        few = not selects and len(rows) < len(cells)
        joined.append((len(joined), column, numbers.take(rows) if few else numbers))
    features, out_labels = arrays
    out = features["x"][start : start + len(rows)]
    if not write_numbers(out, joined, rows if selects else None):
        return False
    if out_labels is None:
        return True
    diagnostics: list[Diagnostic] = []
    labels = split_labels(fitted, cells, rows, diagnostics)
    if diagnostics:
        return False
    try:
        refuse_wide(named_leaves(None, labels), "")
    except DataError:
        return False

    def write(array: Any, label: Any) -> None:
        array[start : start + len(rows)] = label

    map_leaves(write, out_labels, labels)
    return True
