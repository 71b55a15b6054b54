"""Reads the files of a table into columns of raw cells."""

import contextlib
import csv
import dataclasses
import io
from collections.abc import Callable, Sequence
from typing import Any

from specflow.data.table.image_folder import CLASS, ImageFolder, outside_problem
from specflow.data.table.read_retries import (
    RetriedFile,
    read_retried,
    retried_text,
)
from specflow.data.table.table_files import TableFile, unreadable
from specflow.data.table.text_rows import (
    CountedLines,
    csv_options,
    json_rows,
    misfit_rows,
    with_nul,
    without_text,
)
from specflow.diagnostics.errors import DataError, Diagnostic, did_you_mean, nearest

__all__ = [
    "FileRows",
    "different_columns",
    "header_names",
    "header_problems",
    "plain_column",
    "read_columns",
]

_FOR_THREADS = 16 << 20
"""Size in bytes from which a text file is read by several threads."""


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
    first_row: int = 0
    """Number of the first row in the file."""

    def place(self, row: int) -> str:
        """The file and line of a row, or the file and the row's number from 0."""
        if self.file.images is not None:
            return f"{self.file.name.rstrip('/')}/{self.file.images.images[row]}"
        if self.first_line is None:
            return f"{self.file.name}, row {self.first_row + row}"
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
            names = header_names(file)
            if problems := header_problems(file, names, named, optional):
                raise DataError(*problems)
            rows = _READERS[file.format].rows(file, wanted(names))
            if not rows.rows:
                raise unreadable(file, "has no rows", code="data-empty")
            read.append(rows)
        except DataError as error:
            diagnostics += error.diagnostics
    diagnostics = diagnostics or different_columns(
        [(rows.file.name, list(rows.columns)) for rows in read]
    )
    if diagnostics:
        raise DataError(*diagnostics)
    return read


def plain_column(column: Any) -> Any:
    """An Arrow array of values, also where it has a dictionary of them."""
    is_coded = hasattr(column.type, "value_type") and hasattr(column, "dictionary")
    return column.dictionary_decode() if is_coded else column


def header_names(file: TableFile) -> list[str]:
    """Names of the columns of a file.

    Raises:
        DataError: it cannot be read.
    """
    return _READERS[file.format].names(file)


def header_problems(
    file: TableFile,
    names: Sequence[str],
    named: Sequence[tuple[str, str]],
    optional: Sequence[str] = (),
) -> list[Diagnostic]:
    """Diagnostics of the names of a file's columns; see `read_columns`."""
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
        problems.append(unreadable(file, "has no columns").diagnostics[0])
    if file.images is not None and file.images.outside:
        if all(name != CLASS for _, name in named):
            return problems
        problem = outside_problem(file.images)
        expected = f"one for each class, such as {file.name.rstrip('/')}/cat/1.png"
        return [Diagnostic(file.name, problem, expected, code="table-column")]
    plain = [name if name == name.strip() else repr(name) for name in names[:20]]
    shown = ", ".join(plain) + (", ..." if len(names) > 20 else "")
    problems += [
        Diagnostic(
            key,
            f"{file.name} has no column {name!r}; it has {shown}",
            hint=_similar(name, names) or _separator_hint(names),
            code="table-column",
        )
        for key, name in named
        if names and name not in names and name not in optional
    ]
    return problems


def _similar(name: str, names: Sequence[str]) -> str:
    similar = nearest(name, names)
    has_blanks = similar is not None and similar != similar.strip()
    return did_you_mean(repr(similar) if has_blanks else similar)


def _separator_hint(names: Sequence[str]) -> str:
    for separator in (";", "\t", "|"):
        if len(names) == 1 and separator in names[0]:
            return f"The header looks separated by {separator!r}; a CSV file has ','."
    return ""


def different_columns(
    read: Sequence[tuple[str, Sequence[str]]],
) -> list[Diagnostic]:
    """Diagnostics of files whose columns are not those of the first.

    Args:
        read: name and columns of each file.
    """
    if not read:
        return []
    first, expected = read[0]
    return [
        Diagnostic(
            file,
            f"{'lacks' if name in expected else 'has'} the column {name!r}",
            expected=f"the columns of {first}",
            code="table-column",
        )
        for file, columns in read[1:]
        for name in [*expected, *columns]
        if (name in expected) != (name in columns)
    ]


class _Delimited:
    """CSV and TSV, by pyarrow; every cell is read as text."""

    def __init__(self, delimiter: str):
        self._delimiter = delimiter

    def names(self, file: TableFile) -> list[str]:
        """Names in the header."""
        try:
            with retried_text(file.name, file.path, newline="") as stream:
                rows = csv.reader(stream, delimiter=self._delimiter)
                names = next((row for row in rows if row), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise without_text(file, error) from error
        if any("\0" in name for name in names):
            raise with_nul(file, rows.line_num)
        return names

    def rows(self, file: TableFile, names: Sequence[str]) -> FileRows:
        """Reads columns as texts."""
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        misfits: list[Any] = []

        def note(row: Any) -> str:
            misfits.append(row)
            return "skip"

        def read(misfit: Callable[[Any], str], *, threads: bool) -> tuple[Any, int]:
            with io.BufferedReader(RetriedFile(file.name, file.path)) as stream:
                counted = CountedLines(stream)
                table = arrow_csv.read_csv(
                    pa.PythonFile(counted, mode="r"),
                    read_options=arrow_csv.ReadOptions(use_threads=threads),
                    **csv_options(self._delimiter, names, misfit),
                )
            if counted.nul is not None:
                raise with_nul(file, counted.nul)
            return table, counted.lines

        table, lines = None, 0
        if file.path.stat().st_size >= _FOR_THREADS:
            # Threads lose the numbers of rows that do not fit: those are read again.
            with contextlib.suppress(pa.ArrowInvalid):
                table, lines = read(lambda row: "error", threads=True)
        try:
            if table is None:
                table, lines = read(note, threads=False)
        except pa.ArrowInvalid as error:
            raise without_text(file, error) from error
        count = table.num_rows + len(misfits)
        aligned = lines == count + 1
        if misfits:
            raise DataError(*misfit_rows(file, misfits, aligned=aligned))
        columns = {name: table[name] for name in names}
        del table
        return FileRows(file, count, 2 if aligned else None, _joined(columns))


def _joined(columns: dict[str, Any]) -> dict[str, Any]:
    """Joins the chunks of Arrow columns, in place: they are never all held twice."""
    for name in columns:
        columns[name] = plain_column(columns[name].combine_chunks())
    return columns


class _JsonLines:
    """JSON lines, by Python: its numbers are exact, and every bad line is found."""

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
        self._last = file, list(json_rows(file))
        return self._last[1]


class _Arrow:
    """Parquet and Arrow files, by pyarrow."""

    def __init__(self, *, is_parquet: bool):
        self._is_parquet = is_parquet

    def names(self, file: TableFile) -> list[str]:
        """Names in the schema."""
        return self._guarded(file, self._schema_names)

    def rows(self, file: TableFile, names: Sequence[str]) -> FileRows:
        """Reads columns in their own types."""
        table = self._guarded(file, lambda path: self._table(path, names))
        count, columns = table.num_rows, {name: table[name] for name in names}
        del table
        return FileRows(file, count, None, _joined(columns))

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
            return read_retried(file.name, lambda: read(file.path))
        except (pa.ArrowException, OSError) as error:
            first = str(error).strip().split("\n")[0]
            raise unreadable(file, f"cannot be read: {first}") from error


class _Folder:
    """Folders of classes."""

    def names(self, file: TableFile) -> list[str]:
        """Names of the columns."""
        return list(_images(file).columns)

    def rows(self, file: TableFile, names: Sequence[str]) -> FileRows:
        """Paths and classes, as texts."""
        import pyarrow as pa

        folder = _images(file)
        columns = {name: pa.array(folder.columns[name], pa.string()) for name in names}
        return FileRows(file, len(folder.images), None, columns)


def _images(file: TableFile) -> ImageFolder:
    assert file.images is not None
    return file.images


_READERS: dict[str, Any] = {
    "folder": _Folder(),
    "csv": _Delimited(","),
    "tsv": _Delimited("\t"),
    "jsonl": _JsonLines(),
    "parquet": _Arrow(is_parquet=True),
    "arrow": _Arrow(is_parquet=False),
}
