"""Rows of text files: how pyarrow reads cells as texts, and lines of JSON."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from specflow.data.table.read_retries import RetriedFile, retried_text
from specflow.data.table.table_files import TableFile, unreadable
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.text_encoding import conversion, other_encoding

__all__ = [
    "CountedLines",
    "csv_options",
    "json_rows",
    "misfit_rows",
    "with_nul",
    "without_text",
]

_BLOCK = 1 << 20
_SHOWN = 10
"""Number of unreadable rows of a file that are shown."""


class CountedLines:
    """A binary file that counts the lines that are read, and finds a NUL."""

    def __init__(self, stream: Any):
        self._stream = stream
        self.breaks, self._last = 0, b"\n"
        self.closed = False
        self.nul: int | None = None
        """Line of the first NUL that was read."""

    def read(self, size: int = -1) -> bytes:
        """Reads bytes."""
        content = self._stream.read(size)
        if self.nul is None and (place := content.find(0)) >= 0:
            self.nul = self.breaks + content.count(b"\n", 0, place) + 1
        self.breaks += content.count(b"\n")
        self._last = content[-1:] or self._last
        return content

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()
        self.closed = True

    @property
    def lines(self) -> int:
        """Number of lines so far, the last one with or without a line break."""
        return self.breaks + (self._last != b"\n")


def csv_options(
    delimiter: str, names: Sequence[str], misfit: Callable[[Any], str]
) -> dict[str, Any]:
    """Options with which pyarrow reads columns of a text file as texts.

    Args:
        delimiter: between cells.
        names: columns to read.
        misfit: takes a row with another number of cells than the header.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    return {
        "parse_options": arrow_csv.ParseOptions(
            delimiter=delimiter,
            newlines_in_values=True,
            invalid_row_handler=misfit,
        ),
        "convert_options": arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=list(names),
            strings_can_be_null=False,
        ),
    }


def misfit_rows(
    file: TableFile, misfits: Sequence[Any], *, aligned: bool
) -> list[Diagnostic]:
    """Diagnostics of rows with another number of cells than the header.

    Args:
        file: the file.
        misfits: pyarrow's invalid rows.
        aligned: every row of the file is one line.
    """
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


def with_nul(file: TableFile, line: int) -> DataError:
    """An error of a file of texts that has a NUL character in a line."""
    return DataError(
        Diagnostic(
            f"{file.name}:{line}",
            "has a NUL character",
            expected="text without it",
            hint="Text in UTF-16 has many, and is converted by "
            f"{conversion(file.name, 'UTF-16LE')}. A damaged line is to be corrected.",
            code="data-file",
        )
    )


def without_text(file: TableFile, error: Exception) -> DataError:
    """An error of a file that cannot be read as text, with the line if it is not UTF-8.

    Args:
        file: the file.
        error: what the reader says.
    """
    with io.BufferedReader(RetriedFile(file.name, file.path)) as stream:
        other = other_encoding(iter(lambda: stream.read(_BLOCK), b""))
    if other is None:
        return unreadable(file, f"cannot be read: {error}")
    return DataError(
        Diagnostic(
            file.name if other.line is None else f"{file.name}:{other.line}",
            other.problem,
            expected="text in UTF-8",
            hint=other.hint(file.name),
            code="data-file",
        )
    )


def json_rows(file: TableFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the line and the object of each row of a JSON lines file.

    Raises:
        DataError: lines are no JSON objects; the first ones are named.
    """
    bad: list[Diagnostic] = []
    try:
        with retried_text(file.name, file.path) as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                problem = ""
                try:
                    value = json.loads(line.rstrip("\n"))
                    if isinstance(value, dict):
                        if not bad:
                            yield number, value
                    else:
                        problem = f"holds {type(value).__name__} {line.strip():.40}"
                except ValueError as error:
                    problem = f"is not valid JSON: {error}"
                if problem:
                    place = f"{file.name}:{number}"
                    expected = "a JSON object"
                    bad.append(Diagnostic(place, problem, expected, code="table-row"))
                if len(bad) == _SHOWN:
                    break
    except UnicodeDecodeError as error:
        raise without_text(file, error) from error
    if bad:
        raise DataError(*bad)
