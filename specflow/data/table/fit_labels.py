"""Fits columns of labels to the training rows."""

import warnings
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from specflow.columns import CodedTexts, LabelColumn, NumberColumn
from specflow.config.base import Config
from specflow.config.sections.table_columns import (
    CategoryColumnConfig,
    NumberColumnConfig,
)
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import Diagnostic, SpecflowWarning

__all__ = ["fit_label"]

Rows = npt.NDArray[np.int64]
_OF_LABELS = {"number": ("scale", "transform"), "category": ("vocabulary",)}
"""Fields of a declared column that labels have."""
_MOST_INTEGERS = 20
"""Largest number of different integers that are listed as classes."""


def fit_label(
    declared: NumberColumnConfig | CategoryColumnConfig,
    cells: TableCells,
    name: str,
    rows: Rows,
    *,
    is_declared: bool,
) -> LabelColumn | list[Diagnostic]:
    """Fits a column of labels.

    Args:
        declared: the column, or the one that is inferred.
        cells: the table.
        name: the column.
        rows: the training rows.
        is_declared: False: integers stay integers.

    Returns:
        The fitted column, or diagnostics.
    """
    if diagnostics := _unsupported(declared, name):
        return diagnostics
    if isinstance(declared, CategoryColumnConfig):
        return _classes(name, cells.texts(name).take(rows), declared)
    numbers, _ = cells.numbers(name)
    values = numbers[rows]
    column = NumberColumn(transform=declared.transform)
    outside = column.outside(values) & ~np.isnan(values)
    if outside.any():
        lowest = {"log": 0, "log1p": -1}[declared.transform or ""]
        expected = f"a number above {lowest}, for its {declared.transform}"
        return cells.bad_cells(name, rows[outside], expected)
    present = values[~np.isnan(values)]
    if not present.size:
        return [_empty(name, "number", rows)]
    column = NumberColumn.fit(
        present, scale=declared.scale, transform=declared.transform
    )
    if present.min() == present.max():
        warnings.warn(SpecflowWarning(_constant(name, present, rows)), stacklevel=2)
    fitted = LabelColumn(
        kind="number",
        transform=declared.transform,
        offset=column.offset,
        divisor=column.divisor,
    )
    if is_declared or not _are_integers(present):
        return fitted
    found, counts = np.unique(present.astype(np.int64), return_counts=True)
    few = len(found) <= _MOST_INTEGERS or np.array_equal(found, np.arange(len(found)))
    return LabelColumn(
        kind="integer",
        classes=tuple(map(str, found.tolist())) if few else (),
        counts=tuple(counts.tolist()) if few else (),
        offset=fitted.offset,
        divisor=fitted.divisor,
    )


def _classes(
    name: str, texts: CodedTexts, declared: CategoryColumnConfig
) -> LabelColumn | list[Diagnostic]:
    counts = texts.counts()
    counts.pop("", None)
    if len(counts) < 2:
        found = ", ".join(map(repr, counts)) or "none"
        return [
            Diagnostic(
                f"column {name}",
                f"has {len(counts)} class in {len(texts):,} training rows: {found}",
                expected="two classes or more, as labels",
                hint="Sorted files need data.split.by=random or stratified.",
                code="table-kind",
            )
        ]
    classes = declared.vocabulary or _in_order(counts)
    return LabelColumn(
        kind="class",
        classes=tuple(classes),
        counts=tuple(counts[text] for text in classes),
    )


def _in_order(texts: Iterable[str]) -> list[str]:
    """Names of classes, as numbers if all are, else by their code points."""
    try:
        return sorted(texts, key=lambda text: (float(text), text))
    except ValueError:
        return sorted(texts)


def _are_integers(values: npt.NDArray[np.float64]) -> bool:
    """True if labels are integers of 32 bits."""
    return bool(((values == np.rint(values)) & (np.abs(values) < 2**31)).all())


def _unsupported(declared: Config, name: str) -> list[Diagnostic]:
    """Diagnostics of fields that columns of labels do not have."""
    kind = str(getattr(declared, "name", ""))
    names = ("name", *_OF_LABELS[kind])
    return [
        Diagnostic(
            f"data.columns.{name}.{field}",
            "is of features, and this column has labels",
            expected=f"some of {', '.join(names[1:])}",
            code="table-column",
        )
        for field in sorted(declared.model_fields_set)
        if field not in names
    ]


def _empty(name: str, what: str, rows: Rows) -> Diagnostic:
    return Diagnostic(
        f"column {name}",
        f"has no {what} in {len(rows):,} training rows",
        expected="labels in the training rows",
        code="table-kind",
    )


def _constant(name: str, values: npt.NDArray[np.float64], rows: Rows) -> Diagnostic:
    return Diagnostic(
        f"column {name}",
        f"is {values[0]:.6g} in all {len(rows):,} training rows: there is nothing to "
        "learn",
        expected="labels that differ",
        code="table-kind",
    )
