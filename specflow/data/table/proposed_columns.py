"""Proposes what the columns of a file are, for a new experiment that declares them."""

import collections
import dataclasses
import re
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from specflow.columns.date_values import as_times
from specflow.data.table.column_kinds import inferred_kind, inferred_special_kind
from specflow.data.table.shared_passes import Fit, fitted_alone
from specflow.data.table.table_cells import TableCells
from specflow.data.table.table_files import table_files
from specflow.data.table.table_reader import read_columns
from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = ["ProposedColumn", "ProposedTable", "proposed_table"]

_FEWEST_ROWS = 5
_MOST_INTEGER_CLASSES = 20
"""Number of different integers up to which labels are classes."""
_ROWS_A_CLASS = 5
"""Rows that each integer class has on average, at least."""
_MOST_MISSING_TEXTS = 3
"""Number of different texts among numbers that may mean a missing one."""
_WORDS = 4
"""Mean number of words of a text from which it is no name."""
_LONGEST = 50
"""Length of listed values, in characters."""


@dataclasses.dataclass(frozen=True, slots=True)
class ProposedColumn:
    """A column, its proposed kind, and what was seen in it."""

    name: str
    kind: str
    """A kind of `data.columns`, `ignore`, or `id`."""
    seen: str
    """Description of its values."""


@dataclasses.dataclass(frozen=True, slots=True)
class ProposedTable:
    """What the columns of a file are, as far as its cells show."""

    rows: int
    columns: tuple[ProposedColumn, ...]
    """All columns but the label, in the order of the file."""
    label: ProposedColumn
    task: Literal["classification", "regression"]
    classes: tuple[str, ...]
    """Names of the classes, ascending; empty for a regression."""
    missing: tuple[str, ...]
    """Texts that stand for a missing number in this file, beside the usual ones."""
    notes: tuple[str, ...] = ()
    """Cells that training refuses, by column, and what to do about them."""


def proposed_table(path: str, label: str | None, *, key: str) -> ProposedTable:
    """Reads a file and proposes the kinds of its columns.

    Texts that all differ, and numbers that count the rows, are ids; what no kind of
    column takes is ignored.

    Args:
        path: CSV, TSV, JSON lines, Parquet or Arrow, by its suffix.
        label: column of labels; None: the last one.
        key: option that names the file, for messages.

    Raises:
        DataError: the file cannot be read, or a column is no label.
    """
    files = table_files([path], key=key)
    if len(files) > 1:
        raise DataError(
            Diagnostic(
                key,
                f"{path!r} matches {len(files)} files",
                expected="one file",
                hint="data.files of the project's experiment takes further ones.",
                origin="command line",
                code="usage",
            )
        )
    named = [] if label is None else [("--labels", label)]
    cells = TableCells(read_columns(files, list, named))
    if len(cells.names) < 2:
        raise DataError(
            Diagnostic(
                cells.files[0].file.name,
                f"has one column, {cells.names[0]!r}",
                expected="a column of labels, and at least one of features",
                code="table-column",
            )
        )
    if len(cells) < _FEWEST_ROWS:
        raise DataError(
            Diagnostic(
                cells.files[0].file.name,
                f"has {len(cells)} rows",
                expected=f"at least {_FEWEST_ROWS}, of which one is evaluated on",
                code="data-empty",
            )
        )
    return _Proposal(cells, label or cells.names[-1]).made()


class _Proposal:
    """One call of `proposed_table`."""

    def __init__(self, cells: TableCells, label: str):
        self._cells, self._label = cells, label
        self._every = np.arange(len(cells))
        self._missing: dict[str, None] = {}
        self._odd: dict[str, list[int]] = {}

    def made(self) -> ProposedTable:
        """Proposes all columns."""
        label, classes, diagnostics = None, [], []
        try:
            label, classes = self._labels()
        except DataError as error:
            diagnostics += error.diagnostics
        columns = []
        for name in self._cells.names:
            if name != self._label:
                try:
                    columns.append(self._feature(name))
                except DataError as error:
                    diagnostics += error.diagnostics
        if not diagnostics and all(each.kind in ("id", "ignore") for each in columns):
            listed = "; ".join(f"{each.name}: {each.seen}" for each in columns)
            diagnostics.append(
                Diagnostic(
                    self._cells.files[0].file.name,
                    f"has no column of features ({listed})",
                    expected="numbers or categories beside the labels",
                    code="table-column",
                )
            )
        if diagnostics or label is None:
            raise DataError(*diagnostics)
        return ProposedTable(
            rows=len(self._cells),
            columns=tuple(columns),
            label=label,
            task="classification" if classes else "regression",
            classes=tuple(classes),
            missing=tuple(self._missing),
            notes=tuple(self._notes()),
        )

    def _feature(self, name: str) -> ProposedColumn:
        """Proposes the kind of a column beside the label."""
        cells = self._cells
        special = self._inferred(inferred_special_kind(cells, name))
        if special is not None:
            return ProposedColumn(name, special, self._seen(name, special))
        kind = self._inferred(inferred_kind(cells, name, self._every, takes_wide=True))
        if isinstance(kind, list) and kind[0].code == "table-cell":
            kind = self._with_missing_texts(name)
        if cells.type_names(name) and isinstance(kind, list):
            return ProposedColumn(name, "ignore", kind[0].problem)
        if kind == "number" and (bad := cells.numbers(name)[1]).size:
            bad = [row for row in bad.tolist() if not self._is_missing(name, row)]
            if bad and name not in self._odd and cells.integers(name) is None:
                raise DataError(*cells.bad_cells(name, bad, "a number"))
            if bad and name not in self._odd:
                kind = "category"  # Integers that float64 cannot hold.
        counts = cells.texts(name).counts()
        missing = counts.pop("", 0)
        if len(counts) == 1:
            return ProposedColumn(name, "ignore", "one value in all rows")
        if kind != "number" and _are_sentences(counts):
            words = counts.most_common(1)[0][0].split()[:_WORDS]
            return ProposedColumn(name, "text", f"such as: {' '.join(words)} ...")
        if kind != "number" and len(counts) == len(cells) > 1:
            return ProposedColumn(name, "id", "a different text in every row")
        if isinstance(kind, list):
            return ProposedColumn(name, "ignore", kind[0].problem)
        if kind != "number":
            return ProposedColumn(name, kind, _listed(counts, missing))
        numbers = cells.numbers(name)[0]
        if _counts_rows(numbers):
            return ProposedColumn(name, "id", "the number of the row")
        odd = self._odd.get(name, ())
        seen = _range(numbers, odd=len(odd))
        if odd:
            seen = f"{seen}; no number: {cells.value(name, odd[0])!r}"
        return ProposedColumn(name, kind, seen)

    def _inferred(self, fit: Fit[Any]) -> Any:
        return fitted_alone(self._cells, self._every, fit)

    def _seen(self, name: str, kind: Literal["date", "set"]) -> str:
        """Description of dates, or of the items of sets."""
        values = self._cells.raw(name, self._every)
        if kind == "date":
            times = as_times(values, missing=self._cells.missing)[0]
            days = np.sort(times[~np.isnat(times)]).astype("datetime64[D]")
            return f"{days[0]} to {days[-1]}"
        items = (item for value in values for item in value or ())
        return _listed(collections.Counter(map(str, items)), 0)

    def _with_missing_texts(self, name: str) -> Literal["number"]:
        """Takes a few texts without digits among numbers for missing ones, such as ?.

        Other cells are left for the user to correct.
        """
        bad = self._cells.numbers(name)[1].tolist()
        texts = {row: str(self._cells.value(name, row)).strip(" \t") for row in bad}
        plain = {text for text in texts.values() if not re.search(r"\d", text)}
        if len(plain) <= _MOST_MISSING_TEXTS:
            self._missing |= dict.fromkeys(sorted(plain))
        odd = [row for row in bad if texts[row] not in self._missing]
        if odd:
            self._odd[name] = odd
        return "number"

    def _notes(self) -> Iterator[str]:
        for name, rows in self._odd.items():
            value = self._cells.value(name, rows[0])
            others = len(rows) - 1
            noun = "cell is" if others == 1 else "cells are"
            more = f", and {others:,} further {noun} none" if others else ""
            yield (
                f"{self._cells.place(rows[0])}, {name}: {value!r} is no number{more}. "
                "Before training, correct this, list texts of missing numbers in "
                f"data.missing, or declare {name} a category"
            )

    def _is_missing(self, name: str, row: int) -> bool:
        return str(self._cells.value(name, row)).strip(" \t") in self._missing

    def _labels(self) -> tuple[ProposedColumn, list[str]]:
        """The column of labels, and its classes if it has some."""
        cells, name = self._cells, self._label
        special = self._inferred(inferred_special_kind(cells, name))
        if special is not None:
            raise self._no_label("has times" if special == "date" else "has lists")
        kind = self._inferred(inferred_kind(cells, name, self._every, takes_wide=True))
        if isinstance(kind, list):
            if kind[0].code == "table-cell":
                raise DataError(*kind)
            raise self._no_label(kind[0].problem)
        texts = cells.texts(name)
        numbers = cells.numbers(name)[0]
        is_missing = np.isnan(numbers)
        if kind != "number":
            is_missing = texts.mapped(lambda text: text == "")
        if is_missing.any():
            rows = np.flatnonzero(is_missing)
            raise DataError(*cells.bad_cells(name, rows, "a label in every row"))
        counts = texts.counts()
        if len(counts) == 1:
            raise self._no_label(f"has one value in all rows: {texts[0]!r}")
        if kind == "number" and not _are_classes(numbers):
            return ProposedColumn(name, kind, _range(numbers)), []
        if 2 * len(counts) > max(4, len(texts)):
            problem = f"has {len(counts):,} different texts in {len(texts):,} rows"
            raise self._no_label(problem)
        by_number = kind == "number"
        classes = sorted(counts, key=float) if by_number else sorted(counts)
        return ProposedColumn(name, "category", _listed(counts, 0)), classes

    def _no_label(self, problem: str) -> DataError:
        others = [name for name in self._cells.names if name != self._label]
        shown = ", ".join(others[:10]) + (", ..." if len(others) > 10 else "")
        return DataError(
            Diagnostic(
                "--labels",
                f"column {self._label} {problem}",
                expected="a column of classes or of numbers",
                hint=f"Name another one: {shown}.",
                origin="command line",
                code="table-kind",
            )
        )


def _are_sentences(counts: collections.Counter[str]) -> bool:
    """True for texts of several words, most of which differ."""
    words = sum(len(text.split()) for text in counts)
    return 2 * len(counts) > counts.total() and words >= _WORDS * len(counts)


def _are_classes(numbers: npt.NDArray[np.float64]) -> bool:
    """True for integers of few values, each of which several rows have."""
    distinct = np.unique(numbers)
    most = max(2, min(_MOST_INTEGER_CLASSES, len(numbers) // _ROWS_A_CLASS))
    return bool((distinct == np.rint(distinct)).all() and len(distinct) <= most)


def _counts_rows(numbers: npt.NDArray[np.float64]) -> bool:
    """True for the numbers of the rows, from 0 or from 1."""
    if len(numbers) < 3 or numbers[0] not in (0.0, 1.0):
        return False
    return bool((numbers == numbers[0] + np.arange(len(numbers))).all())


def _range(numbers: npt.NDArray[np.float64], *, odd: int = 0) -> str:
    missing = int(np.isnan(numbers).sum()) - odd
    seen = f"{np.nanmin(numbers):.6g} to {np.nanmax(numbers):.6g}"
    return f"{seen}, {missing:,} missing" if missing else seen


def _listed(counts: collections.Counter[str], missing: int) -> str:
    """The most frequent texts, and their number."""
    frequent = sorted(counts, key=lambda text: (-counts[text], text))
    shown: list[str] = []
    for text in frequent:
        if len(", ".join([*shown, text])) > _LONGEST:
            break
        shown.append(text)
    whole = ", ".join([*shown, *(["..."] if len(shown) < len(frequent) else [])])
    seen = f"{len(counts):,} values: {whole}"
    return f"{seen}; {missing:,} missing" if missing else seen
