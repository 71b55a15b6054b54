"""Fits single columns of features to the training rows."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from specflow.columns import (
    CategoryColumn,
    ColumnProblem,
    DateColumn,
    ItemCounts,
    NumberColumn,
    SetColumn,
    TokenizerFile,
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
from specflow.data.table.number_scans import (
    NumberScan,
    training_chunks,
    valid_numbers,
)
from specflow.data.table.rows_among import rows_among
from specflow.data.table.shared_passes import Fit, RowsPass
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import Diagnostic

__all__ = [
    "PartProblems",
    "fit_category",
    "fit_date",
    "fit_number",
    "fit_set",
    "fit_vector",
    "item_counts",
    "unfitted_set",
]

Rows = npt.NDArray[np.int64]
_LARGEST = 1e150
"""Magnitude from which the squares of numbers may be no float64."""
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


class PartProblems:
    """Cells that columns do not take, over the parts of a table.

    Args:
        name: the column of features.
    """

    def __init__(self, name: str):
        self._name = name
        self._rows: dict[tuple[str, str], list[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, first: int, inside: Rows, problems: Sequence[ColumnProblem]) -> None:
        """Adds those of a part.

        Args:
            first: number of the first row of the part.
            inside: the rows that were parsed, counted from it.
            problems: those that `parse` returned.
        """
        for problem in problems:
            key = problem.source or self._name, problem.expected
            rows = first + inside[list(problem.rows)]
            self._rows.setdefault(key, []).extend(rows.tolist())

    def diagnostics(self, cells: TableCells) -> list[Diagnostic]:
        """Diagnostics of all of them."""
        return [
            diagnostic
            for (source, expected), rows in self._rows.items()
            for diagnostic in cells.bad_cells(source, rows, expected)
        ]


def fit_number(
    declared: NumberColumnConfig,
    cells: TableCells,
    name: str,
    rows: Rows,
    diagnostics: list[Diagnostic],
    scan: NumberScan | None = None,
) -> Fit[tuple[NumberColumn | None, NumberScan]]:
    """Fits a column of numbers.

    Args:
        declared: its section.
        cells: the table.
        name: the column of the files.
        rows: the training rows.
        diagnostics: receives what is wrong.
        scan: the first pass, if it was made; None: it was not.

    Returns:
        The column, None after an error; and the first pass.
    """
    low, high = declared.clip
    fitting = {
        "scale": declared.scale,
        "buckets": declared.buckets,
        "quantiles": declared.quantiles,
        "clip": (low, high),
        "transform": declared.transform,
        "missing": declared.missing,
    }
    if scan is None:
        # Numbers that the transform does not take would make the fit meaningless.
        unfitted = NumberColumn(
            clip=(low, high), transform=declared.transform, fill=_constant(declared)
        )
        statistics = NumberColumn.statistics(**fitting)
        takes_missing = declared.missing != "error"
        scan = NumberScan(name, statistics, unfitted, takes_missing)
        yield RowsPass([name], scan.add)
    if scan.wrong:
        diagnostics += cells.bad_cells(name, np.concatenate(scan.wrong), "a number")
        return None, scan
    if scan.outside:
        rows_of = np.concatenate(scan.outside)
        diagnostics += cells.bad_cells(name, rows_of, _expected(declared))
        return None, scan
    statistics = scan.statistics
    if not statistics.present:
        diagnostics.append(_without_values(name, "number", len(rows)))
        return None, scan
    statistics.end_pass()

    def add(first: int, part: TableCells, inside: Rows) -> None:
        for _, values in training_chunks(valid_numbers(part, name), inside):
            statistics.add(values)

    while statistics.passes_left:
        yield RowsPass([name], add)
        statistics.end_pass()
    column = NumberColumn.fitted(statistics, **fitting, indicator=declared.indicator)
    if not np.isfinite(column.divisor):
        large = np.flatnonzero(np.abs(cells.numbers(name)[0]) > _LARGEST)
        expected = f"at most {_LARGEST:g}: the variance of larger numbers is infinite"
        hint = f"Clip it: data.columns.{name}={{name: number, clip: [null, 1e9]}}."
        diagnostics += cells.bad_cells(
            name, rows_among(large, rows), expected, hint=hint
        )
        return None, scan
    return column, scan


def fit_vector(
    declared: NumberColumnConfig,
    cells: TableCells,
    name: str,
    rows: Rows,
    diagnostics: list[Diagnostic],
) -> Fit[VectorColumn | None]:
    """Fits a column of vectors; see `fit_number`."""
    low, high = declared.clip
    unfitted = NumberColumn(
        clip=(low, high), transform=declared.transform, fill=_constant(declared)
    )
    size = declared.size or 1
    vectors = VectorColumn(numbers=(unfitted,) * size)
    settings = {
        "scale": declared.scale,
        "clip": (low, high),
        "transform": declared.transform,
        "buckets": declared.buckets,
        "quantiles": declared.quantiles,
        "missing": declared.missing,
    }
    places = [NumberColumn.statistics(**settings) for _ in range(size)]
    problems = PartProblems(name)

    def add(first: int, part: TableCells, inside: Rows) -> None:
        values, bad = vectors.parse([part.raw(name, inside)], cells.missing)
        problems.add(first, inside, bad)
        if not problems:
            for statistics, numbers in zip(places, values.T, strict=True):
                statistics.add(np.ascontiguousarray(numbers))

    while any(statistics.passes_left for statistics in places):
        yield RowsPass([name], add)
        if problems:
            diagnostics += problems.diagnostics(cells)
            return None
        if not all(statistics.present for statistics in places):
            diagnostics.append(_without_values(name, "number in a place", len(rows)))
            return None
        for statistics in places:
            statistics.end_pass()
    return VectorColumn(
        numbers=tuple(
            NumberColumn.fitted(statistics, **settings, indicator=declared.indicator)
            for statistics in places
        )
    )


def fit_category(
    declared: CategoryColumnConfig,
    cells: TableCells,
    name: str,
    counts: Mapping[str, int],
    vocabulary: Sequence[str] | None,
    diagnostics: list[Diagnostic],
) -> Fit[CategoryColumn | None]:
    """Fits a column of categories.

    Args:
        declared: its section.
        cells: the table.
        name: the column of the files.
        counts: number of training rows of each text.
        vocabulary: declared, or of all columns that share the embedding.
        diagnostics: receives what is wrong.
    """
    outside = {"name", "vocabulary", "vocabulary_file", "column"}
    fields = declared.model_dump(exclude=outside)
    column = CategoryColumn.fit(counts, vocabulary=vocabulary, **fields)
    checked = dataclasses.replace(column, missing="none")
    if not checked.bad_rows(list(counts)):
        return column
    bad: list[int] = []

    def find(first: int, part: TableCells, inside: Rows) -> None:
        wrong = checked.bad_rows(part.texts(name).take(inside))
        bad.extend((first + inside[wrong]).tolist())

    yield RowsPass([name], find)
    diagnostics += cells.bad_cells(name, bad, column.expected)
    return None


def unfitted_set(
    declared: SetColumnConfig | TextColumnConfig, sources: Sequence[str]
) -> SetColumn:
    """A column that parses raw values as the fitted one will.

    Args:
        declared: its section.
        sources: its raw columns.

    Raises:
        ConfigError: the package of a tokenizer is not installed.
        DataError: a file is no tokenizer.
    """
    fields = declared.model_dump()
    file = _tokenizer_file(declared)
    identity = fields.get("identity") if file is None else file.size
    # Every text has an index, so that a row without one has no item.
    items = CategoryColumn(
        buckets=0 if identity else 1,
        missing="error" if declared.missing == "error" else "none",
        identity=identity,
        missing_texts=tuple(fields.get("missing_texts", ())),
    )
    settings = {name: fields[name] for name in _OF_SETS if name in fields}
    return SetColumn(items=items, sources=tuple(sources), file=file, **settings)


def _tokenizer_file(
    declared: SetColumnConfig | TextColumnConfig,
) -> TokenizerFile | None:
    """The trained tokenizer of a text; None without one."""
    path = getattr(declared, "tokenizer_file", None)
    if path is None:
        return None
    return TokenizerFile.read(path, key="data.columns, tokenizer_file")


def item_counts(
    unfitted: SetColumn,
    cells: TableCells,
    name: str,
    diagnostics: list[Diagnostic],
) -> Fit[ItemCounts | None]:
    """Counts the items of the training rows.

    Args:
        unfitted: parses raw values.
        cells: the table.
        name: the column of features.
        diagnostics: receives what is wrong.
    """
    sources = unfitted.sources or (name,)
    counts, problems = ItemCounts(), PartProblems(name)

    def add(first: int, part: TableCells, inside: Rows) -> None:
        raw = [part.raw(source, inside) for source in sources]
        items, bad = unfitted.parse(raw, cells.missing)
        problems.add(first, inside, bad)
        if not problems:
            counts.add(items, unfitted.present(items))

    yield RowsPass(sources, add)
    diagnostics += problems.diagnostics(cells)
    return None if problems else counts


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
    file = _tokenizer_file(declared)
    if file is not None:
        items |= {"identity": file.size, "oov_buckets": 0, "vocabulary": None}
    settings = {name: fields[name] for name in _OF_SETS if name in fields}
    return SetColumn.fit(
        counts,
        max_length=declared.max_length,
        items=items,
        sources=tuple(sources),
        file=file,
        **settings,
    )


def fit_date(
    declared: DateColumnConfig,
    cells: TableCells,
    name: str,
    rows: Rows,
    diagnostics: list[Diagnostic],
) -> Fit[DateColumn | None]:
    """Fits a column of dates; see `fit_number`."""
    unfitted = DateColumn(
        parts=(),
        zone=declared.zone,
        format=declared.format,
        missing=declared.missing,
    )
    settings = declared.model_dump(exclude={"name", "column", "indicator"})
    statistics = DateColumn.statistics(**settings)
    problems, zone_errors = PartProblems(name), []

    def add(first: int, part: TableCells, inside: Rows) -> bool:
        try:
            times, bad = unfitted.parse([part.raw(name, inside)], cells.missing)
        except ValueError as error:
            zone_errors.append(str(error))
            return True
        problems.add(first, inside, bad)
        if not problems:
            statistics.add(times)
        return False

    while statistics.passes_left:
        yield RowsPass([name], add)
        if zone_errors:
            key = f"data.columns.{name}.zone"
            diagnostics.append(Diagnostic(key, zone_errors[0], code="table-kind"))
            return None
        if problems:
            diagnostics += problems.diagnostics(cells)
            return None
        if not statistics.present:
            diagnostics.append(_without_values(name, "time", len(rows)))
            return None
        statistics.end_pass()
    return DateColumn.fitted(statistics, indicator=declared.indicator, **settings)


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


def _expected(declared: NumberColumnConfig) -> str:
    lowest = {"log": 0, "log1p": -1}.get(declared.transform or "")
    if lowest is None:
        return "a number: data.columns declares missing=error"
    return f"a number above {lowest}, for its {declared.transform}"
