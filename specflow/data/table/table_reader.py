"""Reads the files of a table into columns of raw cells."""

import csv
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

from specflow.data.table.table_files import TableFile
from specflow.diagnostics.errors import DataError, Diagnostic, did_you_mean, nearest

__all__ = ["FileRows", "read_columns"]

_SHOWN = 10
"""Number of unreadable rows of a file that are shown."""


@dataclasses.dataclass(frozen=True, slots=True)
class FileRows:
    """Rows of one file."""

    file: TableFile
    rows: int
    first_line: int | None
    """Line of the first row, if every row is one line; None: unknown."""
    columns: dict[str, Any]
    """Column -> cells: an Arrow array of texts, numbers or other values, or a list of
    JSON values."""

    def place(self, row: int) -> str:
        """The file and line of a row, or the file and the row's number from 0."""
        if self.first_line is None:
            return f"{self.file.name}, row {row}"
        return f"{self.file.name}:{self.first_line + row}"


def read_columns(
    files: Sequence[TableFile],
    wanted: Callable[[Sequence[str]], Sequence[str]],
    named: Sequence[tuple[str, str]],
    optional: Sequence[str] = (),
) -> list[FileRows]:
    """Reads columns of files.

    Args:
        files: the files, of one format.
        wanted: names of all columns of a file -> those to read.
        named: (dotted key, column) of columns that must exist.
        optional: columns that may be missing in all files.

    Raises:
        DataError: a file cannot be read, lacks a column, has a column twice, or rows
            that do not fit its header; all files are reported.
    """
    read: list[FileRows] = []
    diagnostics: list[Diagnostic] = []
    for file in files:
        try:
            names = _READERS[file.format].names(file)
            if problems := _header_problems(file, names, named, optional):
                raise DataError(*problems)
            rows = _READERS[file.format].rows(file, wanted(names))
            if not rows.rows:
                raise _unreadable(file, "has no rows", code="data-empty")
            read.append(rows)
        except DataError as error:
            diagnostics += error.diagnostics
    diagnostics = diagnostics or _different_columns(read)
    if diagnostics:
        raise DataError(*diagnostics)
    return read


def _header_problems(
    file: TableFile,
    names: Sequence[str],
    named: Sequence[tuple[str, str]],
    optional: Sequence[str],
) -> list[Diagnostic]:
    twice = sorted({name for name in names if names.count(name) > 1})
    problems = [
        Diagnostic(
            file.name,
            f"two columns have the name {name!r}",
            expected="a different name for each column",
            code="table-column",
        )
        for name in twice
    ]
    if not names:
        problems.append(_unreadable(file, "has no columns").diagnostics[0])
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    problems += [
        Diagnostic(
            key,
            f"{file.name} has no column {name!r}; it has {shown}",
            hint=did_you_mean(nearest(name, names)) or _separator_hint(names),
            code="table-column",
        )
        for key, name in named
        if names and name not in names and name not in optional
    ]
    return problems


def _separator_hint(names: Sequence[str]) -> str:
    for separator in (";", "\t", "|"):
        if len(names) == 1 and separator in names[0]:
            return f"The header looks separated by {separator!r}; a CSV file has ','."
    return ""


def _different_columns(read: Sequence[FileRows]) -> list[Diagnostic]:
    """Returns diagnostics of files whose columns are not those of the first."""
    if not read:
        return []
    first = read[0]
    return [
        Diagnostic(
            rows.file.name,
            f"{'lacks' if name in first.columns else 'has'} the column {name!r}",
            expected=f"the columns of {first.file.name}",
            code="table-column",
        )
        for rows in read[1:]
        for name in [*first.columns, *rows.columns]
        if (name in first.columns) != (name in rows.columns)
    ]


def _unreadable(file: TableFile, problem: str, code: str = "data-file") -> DataError:
    return DataError(
        Diagnostic(
            file.name,
            problem,
            expected=f"{_READERS[file.format].words} with rows",
            code=code,
        )
    )


class _Delimited:
    """CSV and TSV, by pyarrow; every cell is read as text."""

    def __init__(self, delimiter: str, words: str):
        self.words = words
        self._delimiter = delimiter

    def names(self, file: TableFile) -> list[str]:
        """Names in the header."""
        try:
            with file.path.open(encoding="utf-8-sig", newline="") as stream:
                rows = csv.reader(stream, delimiter=self._delimiter)
                return next((row for row in rows if row), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise _unreadable(file, f"cannot be read: {error}") from error

    def rows(self, file: TableFile, names: Sequence[str]) -> FileRows:
        """Reads columns as texts."""
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        misfits: list[Any] = []

        def note(row: Any) -> str:
            misfits.append(row)
            return "skip"

        content = file.path.read_bytes()
        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(content),
                # Threads would lose the numbers of rows that do not fit.
                read_options=arrow_csv.ReadOptions(use_threads=False),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=self._delimiter,
                    newlines_in_values=True,
                    invalid_row_handler=note,
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    include_columns=list(names),
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            raise _unreadable(file, f"cannot be read: {error}") from error
        count = table.num_rows + len(misfits)
        lines = content.count(b"\n") + (not content.endswith(b"\n"))
        aligned = lines == count + 1
        if misfits:
            raise DataError(*_misfit_rows(file, misfits, aligned=aligned))
        columns = {name: table[name].combine_chunks() for name in names}
        return FileRows(file, table.num_rows, 2 if aligned else None, columns)


def _misfit_rows(
    file: TableFile, misfits: Sequence[Any], *, aligned: bool
) -> list[Diagnostic]:
    """Returns diagnostics of rows with another number of cells than the header."""
    diagnostics = []
    for row in misfits[:_SHOWN]:
        text = row.text if len(row.text) <= 60 else f"{row.text[:57]}..."
        place = f"{file.name}:{row.number}"
        if not aligned:
            place = f"{file.name}, row {row.number - 2}"
        diagnostics.append(
            Diagnostic(
                place,
                f"has {row.actual_columns} cells: {text!r}",
                expected=f"{row.expected_columns}, as the header has",
                hint="Quote a cell that contains the separator.",
                code="table-row",
            )
        )
    if further := len(misfits) - _SHOWN:
        if further > 0:
            diagnostics.append(
                Diagnostic(
                    file.name,
                    f"{further:,} further rows do not fit the header",
                    code="table-row",
                )
            )
    return diagnostics


class _JsonLines:
    """JSON lines, by Python: its numbers are exact, and every bad line is found."""

    words = "a file of JSON objects, one a line,"

    def __init__(self) -> None:
        self._last: tuple[TableFile, list[tuple[int, dict[str, Any]]]] | None = None

    def names(self, file: TableFile) -> list[str]:
        """Names of all objects, in the order of their first occurrence."""
        rows = self._parsed(file)
        return list(dict.fromkeys(name for _, row in rows for name in row))

    def rows(self, file: TableFile, names: Sequence[str]) -> FileRows:
        """Reads columns as JSON values; a missing name is null."""
        rows = self._parsed(file)
        columns = {name: [row.get(name) for _, row in rows] for name in names}
        lines = [line for line, _ in rows]
        aligned = lines == list(range(1, len(lines) + 1))
        self._last = None
        return FileRows(file, len(rows), 1 if aligned else None, columns)

    def _parsed(self, file: TableFile) -> list[tuple[int, dict[str, Any]]]:
        if self._last is not None and self._last[0] == file:
            return self._last[1]
        rows: list[tuple[int, dict[str, Any]]] = []
        bad: list[Diagnostic] = []
        try:
            text = file.path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise _unreadable(file, f"cannot be read: {error}") from error
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            problem = ""
            try:
                value = json.loads(line)
                if isinstance(value, dict):
                    rows.append((number, value))
                else:
                    problem = f"holds {type(value).__name__} {line.strip():.40}"
            except ValueError as error:
                problem = f"is not valid JSON: {error}"
            if problem:
                place = f"{file.name}:{number}"
                expected = "a JSON object"
                bad.append(Diagnostic(place, problem, expected, code="table-row"))
        if bad:
            raise DataError(*bad[:_SHOWN])
        self._last = file, rows
        return rows


class _Arrow:
    """Parquet and Arrow files, by pyarrow."""

    def __init__(self, words: str, *, is_parquet: bool):
        self.words = words
        self._is_parquet = is_parquet

    def names(self, file: TableFile) -> list[str]:
        """Names in the schema."""
        return self._guarded(file, self._schema_names)

    def rows(self, file: TableFile, names: Sequence[str]) -> FileRows:
        """Reads columns in their own types."""
        table = self._guarded(file, lambda path: self._table(path, names))
        columns = {}
        for name in names:
            column = table[name].combine_chunks()
            if hasattr(column.type, "value_type") and hasattr(column, "dictionary"):
                column = column.dictionary_decode()
            columns[name] = column
        return FileRows(file, table.num_rows, None, columns)

    def _schema_names(self, path: Any) -> list[str]:
        if self._is_parquet:
            import pyarrow.parquet as pq

            return list(pq.read_schema(path).names)
        import pyarrow.feather

        return list(pyarrow.feather.read_table(path, memory_map=True).schema.names)

    def _table(self, path: Any, names: Sequence[str]) -> Any:
        if self._is_parquet:
            import pyarrow.parquet as pq

            return pq.ParquetFile(path).read(columns=list(names))
        import pyarrow.feather

        return pyarrow.feather.read_table(path, columns=list(names))

    def _guarded(self, file: TableFile, read: Callable[[Any], Any]) -> Any:
        import pyarrow as pa

        try:
            return read(file.path)
        except (pa.ArrowException, OSError) as error:
            first = str(error).strip().split("\n")[0]
            raise _unreadable(file, f"cannot be read: {first}") from error


_READERS: dict[str, Any] = {
    "csv": _Delimited(",", "a CSV file"),
    "tsv": _Delimited("\t", "a TSV file"),
    "jsonl": _JsonLines(),
    "parquet": _Arrow("a Parquet file", is_parquet=True),
    "arrow": _Arrow("an Arrow file", is_parquet=False),
}
