"""Fits single columns of features to the training rows."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from specflow.columns import (
    CategoryColumn,
    ColumnProblem,
    DateColumn,
    ItemCounts,
    NumberColumn,
    SetColumn,
    VectorColumn,
)
from specflow.columns.set_column import BYTES
from specflow.config.sections.table_columns import (
    CategoryColumnConfig,
    DateColumnConfig,
    NumberColumnConfig,
    SetColumnConfig,
    TextColumnConfig,
)
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import Diagnostic

__all__ = [
    "cell_problems",
    "fit_category",
    "fit_date",
    "fit_number",
    "fit_set",
    "fit_vector",
    "item_counts",
    "unfitted_set",
]

Rows = npt.NDArray[np.int64]
_OF_ITEMS = (
    "vocabulary",
    "min_count",
    "max_size",
    "hash_buckets",
    "oov_buckets",
    "identity",
    "default",
    "missing",
    "missing_texts",
    "embedding_size",
    "max_norm",
    "shared",
)
"""Fields of a set that are those of a category."""
_OF_SETS = (
    "separator",
    "tokenizer",
    "lowercase",
    "ngrams",
    "encoding",
    "combiner",
    "binary",
)


def cell_problems(
    cells: TableCells, name: str, rows: Rows, problems: Sequence[ColumnProblem]
) -> list[Diagnostic]:
    """Diagnostics of the cells that a column does not take.

    Args:
        cells: the table.
        name: the column of features.
        rows: the rows that were parsed.
        problems: those that `parse` returned.
    """
    return [
        diagnostic
        for problem in problems
        for diagnostic in cells.bad_cells(
            problem.source or name, rows[list(problem.rows)].tolist(), problem.expected
        )
    ]


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
        name: the column of the files.
        rows: the training rows.
        diagnostics: receives what is wrong.

    Returns:
        None after an error.
    """
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
    fitting = {
        "scale": declared.scale,
        "buckets": declared.buckets,
        "quantiles": declared.quantiles,
        **settings,
    }
    fitting.pop("indicator")
    statistics = NumberColumn.statistics(**fitting)
    wrong: list[Rows] = []
    outside: list[Rows] = []
    is_first = True
    while statistics.passes_left:
        for first, part, inside in cells.parts([name], rows):
            numbers, bad = part.numbers(name)
            values = numbers[inside]
            if is_first:
                wrong += _some(first + bad[np.isin(bad, inside)])
                taken = unfitted.outside(values)
                if declared.missing != "error":
                    taken &= ~np.isnan(values)
                outside += _some(first + inside[taken])
            if not wrong and not outside:
                statistics.add(values)
        if wrong:
            rows_of = np.concatenate(wrong)
            diagnostics += cells.bad_cells(name, rows_of, "a number")
            return None
        if outside:
            expected = _expected(declared, unfitted)
            rows_of = np.concatenate(outside)
            diagnostics += cells.bad_cells(name, rows_of, expected)
            return None
        if not statistics.present:
            diagnostics.append(_without_values(name, "number", len(rows)))
            return None
        statistics.end_pass()
        is_first = False
    return NumberColumn.fitted(statistics, **fitting, indicator=declared.indicator)


def _some(rows: Rows) -> list[Rows]:
    return [rows] if rows.size else []


def fit_vector(
    declared: NumberColumnConfig,
    cells: TableCells,
    name: str,
    rows: Rows,
    diagnostics: list[Diagnostic],
) -> VectorColumn | None:
    """Fits a column of vectors; see `fit_number`."""
    low, high = declared.clip
    unfitted = NumberColumn(
        clip=(low, high), transform=declared.transform, fill=_constant(declared)
    )
    vectors = VectorColumn(numbers=(unfitted,) * (declared.size or 1))
    values, problems = vectors.parse([cells.raw(name, rows)], cells.missing)
    if problems:
        diagnostics += cell_problems(cells, name, rows, problems)
        return None
    if np.isnan(values).all(axis=0).any():
        diagnostics.append(_without_values(name, "number in a place", len(rows)))
        return None
    return VectorColumn.fit(
        values,
        scale=declared.scale,
        clip=(low, high),
        transform=declared.transform,
        buckets=declared.buckets,
        quantiles=declared.quantiles,
        missing=declared.missing,
        indicator=declared.indicator,
    )


def fit_category(
    declared: CategoryColumnConfig,
    cells: TableCells,
    name: str,
    rows: Rows,
    vocabulary: Sequence[str] | None,
    diagnostics: list[Diagnostic],
) -> CategoryColumn | None:
    """Fits a column of categories.

    Args:
        declared: its section.
        cells: the table.
        name: the column of the files.
        rows: the training rows.
        vocabulary: declared, or of all columns that share the embedding.
        diagnostics: receives what is wrong.
    """
    values = cells.texts(name).take(rows)
    outside = {"name", "vocabulary", "vocabulary_file", "column"}
    fields = declared.model_dump(exclude=outside)
    column = CategoryColumn.fit(values, vocabulary=vocabulary, **fields)
    checked = dataclasses.replace(column, missing="none")
    if bad := checked.bad_rows(values):
        diagnostics += cells.bad_cells(name, rows[bad].tolist(), column.expected)
        return None
    return column


def unfitted_set(
    declared: SetColumnConfig | TextColumnConfig, sources: Sequence[str]
) -> SetColumn:
    """A column that parses raw values as the fitted one will.

    Args:
        declared: its section.
        sources: its raw columns.
    """
    fields = declared.model_dump()
    identity = fields.get("identity")
    # Every text has an index, so that a row without one has no item.
    items = CategoryColumn(
        buckets=0 if identity else 1,
        missing="error" if declared.missing == "error" else "none",
        identity=identity,
        missing_texts=tuple(fields.get("missing_texts", ())),
    )
    settings = {name: fields[name] for name in _OF_SETS if name in fields}
    return SetColumn(items=items, sources=tuple(sources), **settings)


def item_counts(
    unfitted: SetColumn,
    cells: TableCells,
    name: str,
    rows: Rows,
    diagnostics: list[Diagnostic],
) -> ItemCounts | None:
    """Counts the items of the training rows.

    Args:
        unfitted: parses raw values.
        cells: the table.
        name: the column of features.
        rows: the training rows.
        diagnostics: receives what is wrong.
    """
    raw = [cells.raw(source, rows) for source in unfitted.sources or (name,)]
    items, problems = unfitted.parse(raw, cells.missing)
    if problems:
        diagnostics += cell_problems(cells, name, rows, problems)
        return None
    counts = ItemCounts()
    counts.add(items, unfitted.present(items))
    return counts


def fit_set(
    declared: SetColumnConfig | TextColumnConfig,
    counts: ItemCounts,
    vocabulary: Sequence[str] | None,
    sources: Sequence[str],
) -> SetColumn:
    """Fits a column of sets or texts.

    Args:
        declared: its section.
        counts: of the training rows.
        vocabulary: declared, or of all columns that share the embedding.
        sources: its raw columns.
    """
    fields = declared.model_dump() | {"vocabulary": vocabulary}
    items = {name: fields[name] for name in _OF_ITEMS if name in fields}
    if fields.get("tokenizer") == "bytes":
        items |= {"identity": BYTES, "oov_buckets": 0}
    settings = {name: fields[name] for name in _OF_SETS if name in fields}
    return SetColumn.fit(
        counts,
        max_length=declared.max_length,
        items=items,
        sources=tuple(sources),
        **settings,
    )


def fit_date(
    declared: DateColumnConfig,
    cells: TableCells,
    name: str,
    rows: Rows,
    diagnostics: list[Diagnostic],
) -> DateColumn | None:
    """Fits a column of dates; see `fit_number`."""
    unfitted = DateColumn(
        parts=(),
        zone=declared.zone,
        format=declared.format,
        missing=declared.missing,
    )
    try:
        times, problems = unfitted.parse([cells.raw(name, rows)], cells.missing)
    except ValueError as error:
        key = f"data.columns.{name}.zone"
        diagnostics.append(Diagnostic(key, str(error), code="table-kind"))
        return None
    if problems:
        diagnostics += cell_problems(cells, name, rows, problems)
        return None
    if np.isnat(times).all():
        diagnostics.append(_without_values(name, "time", len(rows)))
        return None
    return DateColumn.fit(times, **declared.model_dump(exclude={"name", "column"}))


def _without_values(name: str, value: str, rows: int) -> Diagnostic:
    return Diagnostic(
        f"column {name}",
        f"has no {value} in {rows:,} training rows",
        expected=f"a {value.split()[0]} to fit the column to",
        hint=f"Leave it out: data.columns.{name}=ignore.",
        code="table-kind",
    )


def _constant(declared: NumberColumnConfig) -> float | None:
    return None if declared.missing == "error" else 1.0


def _expected(declared: NumberColumnConfig, column: NumberColumn) -> str:
    lowest = {"log": 0, "log1p": -1}.get(column.transform or "")
    if lowest is None:
        return "a number: data.columns declares missing=error"
    return f"a number above {lowest}, for its {declared.transform}"
