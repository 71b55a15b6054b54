"""Infers the kinds of columns from the training rows."""

import re
from typing import Literal

import numpy as np
import numpy.typing as npt

from specflow.columns.date_values import as_times
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import Diagnostic

__all__ = ["MOST_CATEGORIES", "inferred_kind", "inferred_special_kind"]

MOST_CATEGORIES = 1_000
"""Largest number of distinct values of a column that is a category undeclared."""
_FEW = 100
"""Number of cells that show that a column of texts has no dates."""
_MOSTLY = 0.9
"""Fraction of numbers among texts above which other texts are probably mistakes."""

_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
"""Texts that are a date or a time and nothing else."""


def inferred_special_kind(
    cells: TableCells, name: str, rows: npt.NDArray[np.int64]
) -> Literal["date", "set"] | None:
    """Infers a kind of features that is neither a number nor a category.

    Args:
        cells: the table.
        name: the column.
        rows: the training rows.

    Returns:
        `date` if every value is a date or a time of the Gregorian calendar, `set` if
        every value is a list of texts, else None.
    """
    if cells.are_times(name):
        return "date"
    if cells.are_lists_of_texts(name):
        return "set"
    if not cells.is_text(name) or cells.is_other(name):
        return None
    has_date = False
    for _, part, inside in cells.parts([name], rows):
        few = (part.value(name, row) for row in inside[:_FEW].tolist())
        if not _are_dates({str(text) for text in few if text is not None}, cells):
            return None
        distinct = set(part.texts(name).take(inside).counts())
        if not _are_dates(distinct, cells):
            return None
        has_date = has_date or not distinct <= {"", *cells.missing}
    return "date" if has_date else None


def _are_dates(texts: set[str], cells: TableCells) -> bool:
    """True if all texts are dates or times, or missing."""
    dates = list(texts - {"", *cells.missing})
    return all(map(_DATE.fullmatch, dates)) and not as_times(dates)[1].size


def inferred_kind(
    cells: TableCells, name: str, rows: npt.NDArray[np.int64]
) -> Literal["number", "category"] | list[Diagnostic]:
    """Infers the kind of a column from the training rows.

    A column of numbers is one of numbers, unless one is a code, such as 007: the
    leading zeros mean something. Anything else is a category.

    Args:
        cells: the table.
        name: the column.
        rows: the training rows.

    Returns:
        The kind, or diagnostics of a column whose kind has to be declared.
    """
    key = f"data.columns.{name}"
    if types := cells.type_names(name):
        hint = f"Leave it out: {key}=ignore. Its text as a category: {key}=category."
        if all("list" in kind for kind in types):
            values = (value for value in cells.raw(name, rows) if value)
            size = len(next(values, ()))
            numbers = f"{key}={{name: number, size: {size}}}"
            hint = f"A list of numbers: {numbers}. Of categories: {key}=set."
        return [
            Diagnostic(
                f"column {name}",
                f"holds {', '.join(types)}",
                expected="numbers, texts, booleans, times or lists of texts",
                hint=hint,
                code="table-kind",
            )
        ]
    if cells.is_boolean(name):
        return "category"
    present, wrong, is_code = 0, [np.array([], np.int64)], False
    is_text = cells.is_text(name)
    for first, part, inside in cells.parts([name], rows):
        numbers, bad = part.numbers(name)
        wrong.append(first + bad[np.isin(bad, inside)])
        present += int((~np.isnan(numbers[inside])).sum())
        is_code = is_code or bool(np.isin(part.codes(name), inside).any())
        if present and not is_text:
            break  # It is one of numbers: the fit reads the others.
    bad = np.concatenate(wrong)
    if not present and not bad.size:
        return [
            Diagnostic(
                f"column {name}",
                f"has no value in {len(rows):,} training rows",
                expected="a value to fit the column to",
                hint=f"Leave it out: {key}=ignore.",
                code="table-kind",
            )
        ]
    if not is_text:
        return "number"
    if bad.size and present > _MOSTLY * (present + bad.size):
        expected = f"a number, as {present:,} other training rows have"
        hint = (
            "Correct the cells, or list such texts of missing numbers in data.missing. "
            f"If they are categories: {key}=category."
        )
        return cells.bad_cells(name, bad, expected, hint=hint)
    if not bad.size and not is_code:
        return "number"
    distinct = cells.texts(name).take(rows).counts()
    if len(distinct) > MOST_CATEGORIES:
        return [
            Diagnostic(
                f"column {name}",
                f"has {len(distinct):,} different texts in {len(rows):,} training rows",
                expected=f"at most {MOST_CATEGORIES:,}, as it is not declared",
                hint=f"If it identifies rows: data.id={name}. Leave it out: "
                f"{key}=ignore. Frequent ones only: "
                f"{key}={{name: category, min_count: 10}}.",
                code="table-kind",
            )
        ]
    return "category"
