"""Fits columns of labels to the training rows."""

import collections
import warnings
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from specflow.columns import LabelColumn, NumberColumn
from specflow.config.base import Config
from specflow.config.sections.table_columns import (
    CategoryColumnConfig,
    NumberColumnConfig,
)
from specflow.data.table.column_kinds import WITHOUT_LABELS, counted_texts
from specflow.data.table.number_scans import training_chunks, training_numbers
from specflow.data.table.rows_among import rows_among
from specflow.data.table.shared_passes import Fit, RowsPass
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import Diagnostic, SpecflowWarning

__all__ = ["LabelScan", "fit_label"]

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
    begun: "LabelScan | None" = None,
    *,
    is_declared: bool,
) -> Fit[LabelColumn | list[Diagnostic]]:
    """Fits a column of labels.

    Args:
        declared: the column, or the one that is inferred.
        cells: the table.
        name: the column.
        rows: the training rows.
        begun: the first pass, if it was made; None: it was not.
        is_declared: False: integers stay integers.

    Returns:
        The fitted column, or diagnostics.
    """
    if diagnostics := _unsupported(declared, name):
        return diagnostics
    if isinstance(declared, CategoryColumnConfig):
        counts = collections.Counter[str]() if begun is None else begun.texts
        if not counts:
            yield counted_texts(name, counts)
        hint = "Sorted files need data.split.by=random or stratified."
        if cells.files and cells.files[0].file.images is not None:
            hint = "Each class has a folder of its own in data.root."
        return _classes(name, counts, len(rows), declared, hint)
    seen = begun
    if seen is None:
        seen = LabelScan(name, declared)
        yield RowsPass([name], seen.add)
    if seen.outside:
        lowest = {"log": 0, "log1p": -1}[declared.transform or ""]
        expected = f"a number above {lowest}, for its {declared.transform}"
        return cells.bad_cells(name, np.concatenate(seen.outside), expected)
    statistics = seen.statistics
    if not statistics.present:
        return [_empty(name, "number", rows)]
    statistics.end_pass()

    def add(first: int, part: TableCells, inside: Rows) -> None:
        for _, values in training_chunks(part.numbers(name)[0], inside):
            statistics.add(values)

    while statistics.passes_left:
        yield RowsPass([name], add)
        statistics.end_pass()
    column = NumberColumn.fitted(
        statistics, scale=declared.scale, transform=declared.transform
    )
    if seen.low == seen.high:
        warnings.warn(SpecflowWarning(_constant(name, seen.low, rows)), stacklevel=2)
    fitted = LabelColumn(
        kind="number",
        transform=declared.transform,
        offset=column.offset,
        divisor=column.divisor,
    )
    if is_declared or not seen.are_integers:
        return fitted
    found, counted = seen.integers, seen.counts
    few = len(found) <= _MOST_INTEGERS or np.array_equal(found, np.arange(len(found)))
    return LabelColumn(
        kind="integer",
        classes=tuple(map(str, found.tolist())) if few else (),
        counts=tuple(counted.tolist()) if few else (),
        offset=fitted.offset,
        divisor=fitted.divisor,
    )


class LabelScan:
    """The first pass over a column of labels, of numbers unless it is inferred."""

    def __init__(self, name: str, declared: NumberColumnConfig):
        self._name, self._column = name, NumberColumn(transform=declared.transform)
        self.statistics = NumberColumn.statistics(
            scale=declared.scale, transform=declared.transform
        )
        self.wrong: list[Rows] = []
        """Rows whose cells are no numbers."""
        self.present = 0
        """Number of rows with a number."""
        self.texts: collections.Counter[str] = collections.Counter()
        """Number of rows of each text, if they were counted."""
        self.outside: list[Rows] = []
        """Rows whose numbers the transform does not take."""
        self.low, self.high = np.inf, -np.inf
        self.are_integers = True
        """True if labels are integers of 32 bits."""
        self.integers = np.array([], np.int64)
        """The different ones, ascending, if all are."""
        self.counts = np.array([], np.int64)
        """Number of rows of each of them."""

    def add(self, first: int, part: TableCells, inside: Rows) -> None:
        """Adds a part of the table."""
        numbers, bad = part.numbers(self._name)
        if bad.size and (rows := rows_among(bad, inside)).size:
            self.wrong.append(first + rows)
        values = training_numbers(numbers, inside)
        is_present = ~np.isnan(values)
        outside = self._column.outside(values) & is_present
        if outside.any():
            self.outside.append(first + inside[outside])
        if not self.outside:
            self.statistics.add(values)
        present = values[is_present]
        self.present += len(present)
        if not present.size:
            return
        self.low = min(self.low, float(present.min()))
        self.high = max(self.high, float(present.max()))
        self.are_integers = self.are_integers and _are_integers(present)
        if self.are_integers:
            found, counts = np.unique(present.astype(np.int64), return_counts=True)
            every = np.concatenate([self.integers, found])
            self.integers, places = np.unique(every, return_inverse=True)
            both = np.concatenate([self.counts, counts])
            self.counts = np.zeros(len(self.integers), np.int64)
            np.add.at(self.counts, places, both)


def _classes(
    name: str,
    texts: Mapping[str, int],
    rows: int,
    declared: CategoryColumnConfig,
    hint: str,
) -> LabelColumn | list[Diagnostic]:
    counts = collections.Counter(texts)
    counts.pop("", None)
    if len(counts) < 2:
        found = ", ".join(map(repr, counts)) or "none"
        return [
            Diagnostic(
                f"column {name}",
                f"has {len(counts)} class in {rows:,} training rows: {found}",
                expected="two classes or more, as labels",
                hint=hint if counts else WITHOUT_LABELS,
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
        hint=WITHOUT_LABELS,
        code="table-kind",
    )


def _constant(name: str, value: float, rows: Rows) -> Diagnostic:
    return Diagnostic(
        f"column {name}",
        f"is {value:.6g} in all {len(rows):,} training rows: there is nothing to learn",
        expected="labels that differ",
        code="table-kind",
    )
