"""Infers the kinds of columns from the training rows."""

import collections
import re
from typing import Literal

import numpy as np
import numpy.typing as npt

from specflow.columns.date_values import as_times
from specflow.columns.number_column import NumberColumn
from specflow.columns.raw_values import NUMBER
from specflow.data.table.number_scans import CellScan, NumberScan
from specflow.data.table.rows_among import rows_among
from specflow.data.table.shared_passes import Fit, RowsPass
from specflow.data.table.table_cells import TableCells, hint_of_integer
from specflow.diagnostics.errors import Diagnostic

__all__ = [
    "MOST_CATEGORIES",
    "WITHOUT_LABELS",
    "counted_texts",
    "inferred_feature_kind",
    "inferred_kind",
    "inferred_special_kind",
    "number_scan",
]

Rows = npt.NDArray[np.int64]

MOST_CATEGORIES = 1_000
"""Largest number of distinct values of a column that is a category undeclared."""
WITHOUT_LABELS = "Fill it in, or name another column: data.labels=COLUMN."
"""Advice for a column of labels that is of no use: it cannot be left out."""
_FEW = 100
"""Number of cells that show that a column of texts has no dates."""
_MOSTLY = 0.9
"""Fraction of numbers among texts above which other texts are probably mistakes."""

_SEPARATED = re.compile(r"[+-]?(?:[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|[0-9]+,[0-9]+)")
"""Texts that a reader takes for numbers: with commas at thousands, or a decimal one."""
_NUMBER = re.compile(NUMBER)
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
"""Texts that are a date or a time and nothing else."""


def inferred_special_kind(
    cells: TableCells, name: str
) -> Fit[Literal["date", "set"] | None]:
    """Infers a kind of features that is neither a number nor a category.

    Args:
        cells: the table.
        name: the column.

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
    dates = _Dates(name)
    yield RowsPass([name], lambda *part: not dates.add(*part))
    return "date" if dates.has_date else None


def inferred_feature_kind(
    cells: TableCells,
    name: str,
    rows: Rows,
    scan: CellScan,
    counts: "collections.Counter[str]",
) -> Fit[Literal["date", "set", "number", "category"] | list[Diagnostic]]:
    """Infers the kind of a column of features; see `inferred_kind`."""
    if cells.are_times(name):
        return "date"
    if cells.are_lists_of_texts(name):
        return "set"
    if not cells.is_text(name) or cells.is_other(name):
        return (yield from inferred_kind(cells, name, rows, scan, counts))
    dates = _Dates(name)
    kind = yield from inferred_kind(cells, name, rows, scan, counts, dates=dates)
    return "date" if dates.has_date else kind


class _Dates:
    """Looks for a text that is no date."""

    def __init__(self, name: str):
        self._name, self._are_dates, self._has_date = name, True, False

    @property
    def has_date(self) -> bool:
        """True if all texts are dates or times, and some are not missing."""
        return self._are_dates and self._has_date

    def add(self, first: int, part: TableCells, inside: Rows) -> bool:
        """Looks at a part of the table; False after a text that is no date."""
        if not self._are_dates:
            return False
        few = (part.value(self._name, row) for row in inside[:_FEW].tolist())
        if not all(text is None or _are_dates({str(text)}, part) for text in few):
            self._are_dates = False
            return False
        distinct = set(part.texts(self._name).take(inside).counts())
        self._are_dates = _are_dates(distinct, part)
        self._has_date = self._has_date or not distinct <= {"", *part.missing}
        return self._are_dates


def _are_dates(texts: set[str], cells: TableCells) -> bool:
    """True if all texts are dates or times, or missing."""
    dates = list(texts - {"", *cells.missing})
    return all(map(_DATE.fullmatch, dates)) and not as_times(dates)[1].size


def number_scan(name: str) -> NumberScan:
    """The first pass of a column that is not declared, should it be one of numbers."""
    return NumberScan(name, NumberColumn.statistics())


def inferred_kind(
    cells: TableCells,
    name: str,
    rows: Rows,
    scan: CellScan | None = None,
    counts: "collections.Counter[str] | None" = None,
    *,
    dates: _Dates | None = None,
    is_label: bool = False,
    takes_wide: bool = False,
) -> Fit[Literal["number", "category"] | list[Diagnostic]]:
    """Infers the kind of a column from the training rows.

    A column of numbers is one of numbers, unless one is a code, such as 007: the
    leading zeros mean something. Anything else is a category.

    Args:
        cells: the table.
        name: the column.
        rows: the training rows.
        scan: gets the numbers of all rows if the column is one of numbers, so that its
            fit need not read them again; None: the first ones may be enough.
        counts: receives the texts of a column of categories, if they are counted.
        dates: sees the texts first, and has dates if all texts are; the result means
            nothing then. None: dates are categories.
        is_label: the column has labels, which cannot be left out.
        takes_wide: integers that float64 lacks are categories, which the caller
            declares; False: they have to be declared.

    Returns:
        The kind, or diagnostics of a column whose kind has to be declared.
    """
    if diagnostics := _of_other_types(cells, name, rows, is_label):
        return diagnostics
    if cells.is_boolean(name):
        return "category"
    key, without = f"data.columns.{name}", _leave_out(name, is_label)
    is_text = cells.is_text(name)
    seen = number_scan(name) if scan is None else scan
    distinct = collections.Counter[str]() if counts is None else counts
    is_code = are_skipped = False
    is_counted: bool | None = None  # None: before the first training row.

    def add(first: int, part: TableCells, inside: Rows) -> bool:
        nonlocal is_code, is_counted, are_skipped
        if dates is not None and dates.add(first, part, inside):
            are_skipped = True
            return False
        if are_skipped:
            return True  # The parts before are read again.
        seen.add(first, part, inside)
        if is_text and not is_code and not seen.wrong:
            is_code = bool(rows_among(part.codes(name), inside).size)
        if is_counted is None and inside.size:
            is_counted = is_text and (is_code or bool(seen.wrong))
        if is_counted:
            distinct.update(part.texts(name).take(inside).counts())
        # Else it is one of numbers: its fit reads the others.
        return scan is None and not is_text and seen.present > 0

    yield RowsPass([name], add)
    if dates is not None and dates.has_date:
        return "category"
    if are_skipped:
        dates, are_skipped = None, False
        yield RowsPass([name], add)
    present, bad = seen.present, np.concatenate([*seen.wrong, np.array([], np.int64)])
    if not present and not bad.size:
        return [
            Diagnostic(
                f"column {name}",
                f"has no value in {len(rows):,} training rows",
                expected="a value to fit the column to",
                hint=without,
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
        of_integer = hint_of_integer(name, cells.value(name, bad[0]), is_label=is_label)
        return cells.bad_cells(name, bad, expected, hint=of_integer or hint)
    if not bad.size and not is_code:
        return "number"
    if diagnostics := _of_files(cells, name):
        return diagnostics
    if not is_counted:
        yield counted_texts(name, distinct)
    texts = [text for text in distinct if text and text not in cells.missing]
    if any("," in text for text in texts) and all(map(_SEPARATED.fullmatch, texts)):
        expected = "a number in digits and a decimal point, such as 1234.5"
        hint = f"If they are categories: {key}=category."
        return cells.bad_cells(name, bad, expected, hint=hint)
    if not is_code and not takes_wide and all(map(_is_number, texts)):
        value = cells.value(name, bad[0])
        hint = hint_of_integer(name, value, is_label=is_label)
        return cells.bad_cells(name, bad, "a number that float64 has", hint=hint)
    if len(distinct) > MOST_CATEGORIES:
        by_id = "" if is_label else f"If it identifies rows: data.id={name}. "
        return [
            Diagnostic(
                f"column {name}",
                f"has {len(distinct):,} different texts in {len(rows):,} training rows",
                expected=f"at most {MOST_CATEGORIES:,}, as it is not declared",
                hint=f"{by_id}{without} Frequent ones only: "
                f"{key}={{name: category, min_count: 10}}.",
                code="table-kind",
            )
        ]
    return "category"


def counted_texts(name: str, counts: "collections.Counter[str]") -> RowsPass:
    """A pass that counts the texts of a column.

    Args:
        name: the column.
        counts: receives the number of training rows of each text.
    """

    def add(first: int, part: TableCells, inside: Rows) -> None:
        counts.update(part.texts(name).take(inside).counts())

    return RowsPass([name], add)


def _of_files(cells: TableCells, name: str) -> list[Diagnostic]:
    """Diagnostics of a column with texts in some files, and numbers in others."""
    files = cells.text_files(name)
    if len(files) < 2:
        return []
    return [
        Diagnostic(
            f"column {name}",
            f"holds texts in {files[True]}, and numbers or others in {files[False]}",
            expected="one type in all files",
            hint=f"If their texts are categories: data.columns.{name}=category.",
            code="table-kind",
        )
    ]


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text.strip(" \t")) is not None


def _leave_out(name: str, is_label: bool) -> str:
    """Advice for a column that is of no use."""
    if is_label:
        return WITHOUT_LABELS
    return f"Leave it out: data.columns.{name}=ignore."


def _of_other_types(
    cells: TableCells, name: str, rows: Rows, is_label: bool
) -> list[Diagnostic]:
    """Diagnostics of cells that are neither texts, numbers nor booleans."""
    types = cells.type_names(name)
    if not types:
        return []
    key = f"data.columns.{name}"
    hint = f"{_leave_out(name, is_label)} Its text as a category: {key}=category."
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
