"""Fits single columns of features to the training rows."""

import numpy as np
import numpy.typing as npt

from specflow.columns import CategoryColumn, CodedTexts, NumberColumn
from specflow.config.sections.table_columns import (
    CategoryColumnConfig,
    NumberColumnConfig,
)
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import Diagnostic

__all__ = ["fit_category", "fit_number"]

Rows = npt.NDArray[np.int64]


def fit_number(
    declared: NumberColumnConfig,
    cells: TableCells,
    name: str,
    rows: Rows,
    diagnostics: list[Diagnostic],
) -> NumberColumn | None:
    """Fits a column of numbers.

    Args:
        declared: its section.
        cells: the table.
        name: the column.
        rows: the training rows.
        diagnostics: receives what is wrong.

    Returns:
        None after an error.
    """
    numbers, bad = cells.numbers(name)
    wrong = bad[np.isin(bad, rows)]
    if wrong.size:
        diagnostics += cells.bad_cells(name, wrong, "a number")
        return None
    values = numbers[rows]
    if np.isnan(values).all():
        diagnostics.append(
            Diagnostic(
                f"column {name}",
                f"has no number in {len(rows):,} training rows",
                expected="a number to fit the column to",
                hint=f"Leave it out: data.columns.{name}=ignore.",
                code="table-kind",
            )
        )
        return None
    low, high = declared.clip
    settings = {
        "clip": (low, high),
        "transform": declared.transform,
        "missing": declared.missing,
        "indicator": declared.indicator,
    }
    # Numbers that the transform does not take would make the fit meaningless.
    unfitted = NumberColumn(
        clip=(low, high), transform=declared.transform, fill=_constant(declared)
    )
    outside = rows[unfitted.outside(values)]
    if declared.missing != "error":
        outside = outside[~np.isnan(numbers[outside])]
    if outside.size:
        expected = _expected(declared, unfitted)
        diagnostics += cells.bad_cells(name, outside, expected)
        return None
    return NumberColumn.fit(
        values,
        scale=declared.scale,
        buckets=declared.buckets,
        quantiles=declared.quantiles,
        **settings,
    )


def _constant(declared: NumberColumnConfig) -> float | None:
    return None if declared.missing == "error" else 1.0


def _expected(declared: NumberColumnConfig, column: NumberColumn) -> str:
    lowest = {"log": 0, "log1p": -1}.get(column.transform or "")
    if lowest is None:
        return "a number: data.columns declares missing=error"
    return f"a number above {lowest}, for its {declared.transform}"


def fit_category(
    declared: CategoryColumnConfig, texts: CodedTexts, rows: Rows
) -> CategoryColumn:
    """Fits a column of categories.

    Args:
        declared: its section.
        texts: all cells of the column.
        rows: the training rows.
    """
    fields = declared.model_dump(exclude={"name"})
    return CategoryColumn.fit(texts.take(rows), **fields)
