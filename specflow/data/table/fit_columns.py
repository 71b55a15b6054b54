"""Fits the columns of a table to its training rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.columns import (
    CategoryColumn,
    FittedColumns,
    LabelColumn,
    NumberColumn,
)
from specflow.config.sections.table import (
    CategoryColumnConfig,
    NumberColumnConfig,
    TableConfig,
)
from specflow.data.table.column_kinds import inferred_kind
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = ["fit_columns"]

Rows = npt.NDArray[np.int64]


def fit_columns(
    config: TableConfig,
    cells: TableCells,
    rows: Rows,
    *,
    features: Sequence[str],
    files: Mapping[str, str],
    counts: Mapping[str, int],
) -> FittedColumns:
    """Fits columns of features and labels.

    Args:
        config: declares columns.
        cells: the table.
        rows: the training rows.
        features: names of the columns of features.
        files: name of each file -> its digest.
        counts: number of rows of each split.

    Raises:
        DataError: a column cannot be fitted, or its kind is not clear; all columns are
            reported.
    """
    diagnostics: list[Diagnostic] = []
    columns: dict[str, Any] = {}
    labels: dict[str, LabelColumn] = {}
    for name in features:
        declared = _declared(config, cells, name, rows, diagnostics)
        if isinstance(declared, NumberColumnConfig):
            columns[name] = _number(declared, cells, name, rows, diagnostics)
        elif isinstance(declared, CategoryColumnConfig):
            columns[name] = _category(declared, cells.texts(name), rows)
    for name in config.labels:
        declared = _declared(config, cells, name, rows, diagnostics)
        if isinstance(declared, NumberColumnConfig):
            is_declared = name in config.columns
            labels[name] = LabelColumn(
                kind="number"
                if is_declared or not _are_integers(cells, name, rows)
                else "integer"
            )
        elif isinstance(declared, CategoryColumnConfig):
            classes = declared.vocabulary or _classes(cells.texts(name), rows)
            labels[name] = LabelColumn(kind="class", classes=tuple(classes))
    if diagnostics:
        raise DataError(*diagnostics)
    if not columns:
        raise DataError(
            Diagnostic(
                "data.features",
                "no column is left for features",
                expected="at least one beside labels and ids",
                code="table-column",
            )
        )
    return FittedColumns(
        columns=columns,
        labels=labels,
        joined=config.joined,
        missing=tuple(config.missing),
        files=files,
        rows=counts,
    )


def _declared(
    config: TableConfig,
    cells: TableCells,
    name: str,
    rows: Rows,
    diagnostics: list[Diagnostic],
) -> NumberColumnConfig | CategoryColumnConfig | None:
    """The declaration of a column, inferred if there is none; None after an error."""
    declared = config.columns.get(name)
    if isinstance(declared, NumberColumnConfig | CategoryColumnConfig):
        return declared
    kind = inferred_kind(cells, name, rows)
    if isinstance(kind, list):
        diagnostics += kind
        return None
    return NumberColumnConfig() if kind == "number" else CategoryColumnConfig()


def _number(
    declared: NumberColumnConfig,
    cells: TableCells,
    name: str,
    rows: Rows,
    diagnostics: list[Diagnostic],
) -> NumberColumn | None:
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


def _category(
    declared: CategoryColumnConfig, texts: Sequence[str], rows: Rows
) -> CategoryColumn:
    places: list[int] = rows.tolist()
    fields = declared.model_dump(exclude={"name"})
    return CategoryColumn.fit((texts[row] for row in places), **fields)


def _are_integers(cells: TableCells, name: str, rows: Rows) -> bool:
    """True if the labels of the training rows are integers of 32 bits."""
    values = cells.numbers(name)[0][rows]
    values = values[~np.isnan(values)]
    return bool(((values == np.rint(values)) & (np.abs(values) < 2**31)).all())


def _classes(texts: Sequence[str], rows: Rows) -> list[str]:
    """Class names that occur, as numbers if all are, else by their code points."""
    places: list[int] = rows.tolist()
    found = {texts[row] for row in places} - {""}
    try:
        return sorted(found, key=lambda text: (float(text), text))
    except ValueError:
        return sorted(found)
