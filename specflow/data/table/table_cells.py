"""Columns of a table over all its files: cells as numbers, texts or times."""

import collections
import dataclasses
import datetime
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.columns import MISSING, CodedTexts, as_number
from specflow.data.table.arrow_cells import (
    coded_texts,
    has_texts,
    is_float64,
    leading_zeros,
    numbers_of,
)
from specflow.data.table.raw_cells import (
    are_lists_of_texts,
    are_times,
    listed_values,
    raw_value,
    raw_values,
)
from specflow.data.table.table_reader import FileRows
from specflow.diagnostics.errors import Diagnostic
from specflow.runtime.filesystem import expanded

__all__ = ["BadCellCounts", "TableCells", "hint_of_integer"]

SHOWN = 10
"""Number of bad cells of a column that are shown."""
_INTEGER = re.compile(r"[+-]?[0-9]+")
_LONGEST = 60
"""Length of a shown value, in characters."""


class BadCellCounts(collections.Counter[tuple[str, str]]):
    """Number of bad cells by column and expected value, over parts of a table."""

    def further(self) -> list[Diagnostic]:
        """Diagnostics of those that were not shown."""
        return [
            _further(name, count - SHOWN)
            for (name, _), count in self.items()
            if count > SHOWN
        ]


@dataclasses.dataclass(frozen=True, eq=False)
class TableCells:
    """Cells of all files, file after file; rows are numbered through from 0."""

    files: Sequence[FileRows]
    missing: tuple[str, ...] = MISSING
    """Texts of a missing number."""
    counts: BadCellCounts | None = None
    """Counts the bad cells of a part of a table, of which the first ones of all parts
    are shown; None: this is the table."""
    _numbers: dict[str, Any] = dataclasses.field(default_factory=dict, init=False)
    _texts: dict[str, CodedTexts] = dataclasses.field(default_factory=dict, init=False)
    _raw: dict[str, Any] = dataclasses.field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return sum(rows.rows for rows in self.files)

    @property
    def names(self) -> list[str]:
        """Names of the columns that were read."""
        return list(self.files[0].columns)

    @functools.cached_property
    def first_rows(self) -> npt.NDArray[np.int64]:
        """Number of the first row of each file."""
        sizes = [rows.rows for rows in self.files]
        return np.cumsum([0, *sizes])[:-1]

    def place(self, row: int) -> str:
        """The file and line of a row."""
        number = int(np.searchsorted(self.first_rows, row, side="right")) - 1
        return self.files[number].place(int(row - self.first_rows[number]))

    def value(self, name: str, row: int) -> Any:
        """The raw value of a cell."""
        number = int(np.searchsorted(self.first_rows, row, side="right")) - 1
        cell = self.files[number].columns[name][int(row - self.first_rows[number])]
        return raw_value(cell)

    def numbers(self, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
        """All cells of a column as float64, NaN where missing, and rows of bad ones."""
        if name not in self._numbers:
            values, bad = [], []
            for first, rows in zip(self.first_rows, self.files, strict=True):
                numbers, wrong = numbers_of(rows.columns[name], self.missing)
                values.append(numbers)
                bad.append(wrong + first)
            self._numbers[name] = (
                (values[0], bad[0])
                if len(values) == 1
                else (np.concatenate(values), np.concatenate(bad))
            )
        return self._numbers[name]

    def floats(self, name: str) -> npt.NDArray[np.float64] | None:
        """The `numbers` of a column of float64 without a null; infinite ones are bad.

        None: it is no such column.
        """
        cells = self.files[0].columns[name]
        if len(self.files) > 1 or not is_float64(cells) or cells.null_count:
            return None
        return cells.to_numpy()

    def texts(self, name: str) -> CodedTexts:
        """All cells of a column as texts of categories; empty where missing."""
        if name not in self._texts:
            parts = [coded_texts(rows.columns[name]) for rows in self.files]
            self._texts[name] = CodedTexts.joined(parts)
        return self._texts[name]

    def raw(self, name: str, rows: npt.NDArray[np.int64]) -> Any:
        """Raw values of some rows of a column: a list, or an array of times.

        Args:
            name: the column.
            rows: numbers of the rows.
        """
        if name not in self._raw:
            parts = [raw_values(each.columns[name]) for each in self.files]
            self._raw[name] = (
                np.concatenate(parts)
                if all(isinstance(part, np.ndarray) for part in parts)
                else [value for part in parts for value in part]
            )
        values = self._raw[name]
        if isinstance(values, np.ndarray):
            return values[rows]
        return [values[row] for row in rows.tolist()]

    def folders(
        self, rows: npt.NDArray[np.int64], root: str | None = None
    ) -> list[Path]:
        """Folder of the relative paths in some rows.

        Args:
            rows: numbers of the rows.
            root: of all of them; None: that of their file.
        """
        if root is not None:
            return [expanded(root)] * len(rows)
        numbers = np.searchsorted(self.first_rows, rows, side="right") - 1
        folders = [each.file.folder for each in self.files]
        return [folders[number] for number in numbers.tolist()]

    def values(self, name: str, rows: npt.NDArray[np.int64]) -> list[Any]:
        """The raw value of each cell of some rows of a column."""
        every = [
            value for each in self.files for value in listed_values(each.columns[name])
        ]
        return [every[row] for row in rows.tolist()]

    def are_times(self, name: str) -> bool:
        """True if all cells are dates or times of Arrow."""
        return all(are_times(rows.columns[name]) for rows in self.files)

    def are_lists_of_texts(self, name: str) -> bool:
        """True if all cells are lists of texts."""
        return all(are_lists_of_texts(rows.columns[name]) for rows in self.files)

    def codes(self, name: str) -> npt.NDArray[np.int64]:
        """Rows of texts of digits that begin with a zero, such as 007."""
        found = [
            leading_zeros(rows.columns[name]) + first
            for first, rows in zip(self.first_rows, self.files, strict=True)
        ]
        return np.concatenate(found)

    def integers(self, name: str) -> npt.NDArray[np.int64] | None:
        """All cells of a column of integers; None if it has others or lacks one."""
        parts = []
        for rows in self.files:
            cells = rows.columns[name]
            if isinstance(cells, list):
                if any(type(value) is not int for value in cells):
                    return None
                parts.append(np.array(cells))
            elif _is_integer(cells) and not cells.null_count:
                parts.append(cells.to_numpy(zero_copy_only=False))
            else:
                return None
        joined = np.concatenate(parts)
        return joined if joined.dtype.kind in "iu" else None

    def times(self, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
        """All cells of a column as numbers that grow with time, and rows of bad ones.

        Numbers are themselves; dates and times are seconds, in UTC where they name no
        zone.
        """
        numbers, bad = self.numbers(name)
        if not bad.size and not self.is_other(name):
            return numbers, np.flatnonzero(np.isnan(numbers))
        seconds = self.seconds(name)
        return seconds, np.flatnonzero(np.isnan(seconds))

    def seconds(self, name: str) -> npt.NDArray[np.float64]:
        """All cells of a column as seconds since 1970, NaN where they are no time."""
        known: dict[Any, float] = {}
        seconds = []
        for rows in self.files:
            cells = rows.columns[name]
            values = cells if isinstance(cells, list) else cells.to_pylist()
            for value in values:
                if value not in known:
                    known[value] = _seconds(value)
            seconds += [known[value] for value in values]
        return np.array(seconds, np.float64)

    def parts(
        self,
        names: Sequence[str],
        rows: npt.NDArray[np.int64] | None = None,
        counts: BadCellCounts | None = None,
        *,
        doing: str = "",
    ) -> Iterator[tuple[int, "TableCells", npt.NDArray[np.int64]]]:
        """Yields the table as one part; see `StreamedCells.parts`."""
        yield 0, self, np.arange(len(self)) if rows is None else rows

    def is_text(self, name: str) -> bool:
        """True if the cells of a file are texts, whose kind has to be inferred."""
        return any(has_texts(rows.columns[name]) for rows in self.files)

    def is_boolean(self, name: str) -> bool:
        """True if all cells are booleans."""
        return all(_is_boolean(rows.columns[name]) for rows in self.files)

    def is_other(self, name: str) -> bool:
        """True if cells are neither texts, numbers nor booleans, such as times."""
        return any(_type_name(rows.columns[name]) for rows in self.files)

    def text_files(self, name: str) -> dict[bool, str]:
        """A file in which cells are texts, under True, and one in which none is.

        Lists of JSON values, whose cells have types of their own, do not count.
        """
        named: dict[bool, str] = {}
        for rows in self.files:
            cells = rows.columns[name]
            if not isinstance(cells, list) and str(cells.type) != "null":
                named.setdefault(has_texts(cells), rows.file.name)
        return named

    def type_names(self, name: str) -> list[str]:
        """Types of cells that are neither texts, numbers nor booleans."""
        return sorted({_type_name(rows.columns[name]) for rows in self.files} - {""})

    def bad_cells(
        self,
        name: str,
        rows: Iterable[int],
        expected: str,
        *,
        hint: str = "",
    ) -> list[Diagnostic]:
        """Returns diagnostics of bad cells: the first ones, and how many there are.

        Args:
            name: the column.
            rows: numbers of the rows.
            expected: description of valid values.
            hint: advice, shown once.
        """
        wrong = list(rows)
        if expected.startswith("a number") and not hint and wrong:
            hint = hint_of_integer(name, self.value(name, wrong[0]))
        before = 0 if self.counts is None else self.counts[name, expected]
        diagnostics = [
            Diagnostic(
                f"{self.place(row)}, {name}",
                f"got {_shown(self.value(name, row))}",
                expected=expected,
                hint=hint if place == 0 else "",
                code="table-cell",
            )
            for place, row in enumerate(wrong[: max(0, SHOWN - before)], before)
        ]
        if self.counts is not None:
            self.counts[name, expected] += len(wrong)
        elif len(wrong) > SHOWN:
            diagnostics.append(_further(name, len(wrong) - SHOWN))
        return diagnostics


def _further(name: str, count: int) -> Diagnostic:
    noun = "cell" if count == 1 else "cells"
    problem = f"{count:,} further {noun} like these"
    return Diagnostic(f"column {name}", problem, code="table-cell")


def hint_of_integer(name: str, value: Any, *, is_label: bool = False) -> str:
    """Hint for an integer that a column of numbers does not take; else empty.

    Args:
        name: the column.
        value: a bad cell of it.
        is_label: the column has labels.
    """
    text = str(value).strip(" \t")
    is_integer = isinstance(value, str | int | np.integer) and _INTEGER.fullmatch(text)
    if not is_integer or as_number(value) is not None:
        return ""
    rows = "" if is_label else f"If it identifies rows: data.id={name}; if"
    hint = (
        "Numbers are float64, which lack some integers from 2 ** 53 on. "
        f"{rows or 'If'} they are categories: data.columns.{name}=category."
    )
    if isinstance(value, str) and len(text) < _LONGEST:
        hint += f" If the last digits do not matter, write them as {text}.0."
    return hint


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "a missing value"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _seconds(value: Any) -> float:
    """Seconds since 1970 of a date or time; NaN if it is none."""
    try:
        if isinstance(value, str):
            value = datetime.datetime.fromisoformat(value.strip())
        if isinstance(value, datetime.date) and not isinstance(
            value, datetime.datetime
        ):
            value = datetime.datetime(value.year, value.month, value.day)
        if value.tzinfo is None:
            value = value.replace(tzinfo=datetime.UTC)
        return value.timestamp()
    except (AttributeError, TypeError, ValueError):
        return float("nan")


def _is_integer(cells: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_integer(cells.type)


def _is_boolean(cells: Any) -> bool:
    if isinstance(cells, list):
        present = [value for value in cells if value is not None]
        return bool(present) and all(isinstance(value, bool) for value in present)
    import pyarrow as pa

    return pa.types.is_boolean(cells.type)


def _type_name(cells: Any) -> str:
    """Name of a type of cells that no column has; empty for texts and numbers."""
    if isinstance(cells, list):
        other = (
            type(value).__name__ for value in cells if isinstance(value, list | dict)
        )
        return next(other, "")
    import pyarrow as pa

    kind, types = cells.type, pa.types
    plain: tuple[Callable[[Any], bool], ...] = (
        types.is_integer,
        types.is_floating,
        types.is_boolean,
        types.is_decimal,
        types.is_null,
    )
    if has_texts(cells) or any(is_of(kind) for is_of in plain):
        return ""
    return str(kind)
