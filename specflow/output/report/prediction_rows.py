"""Rows of predictions as JSON lines, CSV or Parquet, in order, in bounded memory."""

import contextlib
import csv
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.output.files import replacing
from specflow.output.json_values import to_plain
from specflow.output.report.parquet import ParquetRows
from specflow.runtime.filesystem import check_output_file, expanded
from specflow.runtime.typing import is_floating, leaves

__all__ = ["FORMATS", "row_format", "writing_rows"]

FORMATS = ("jsonl", "csv", "parquet")
"""What rows can be written as, named as the file's suffix is."""

Write = Callable[[Any], None]
"""Takes the predictions of a batch: an array, or nested dicts of arrays, rows first."""


def row_format(output: str | None, format: str | None = None) -> str:
    """The format that is meant: by its name, by the file's suffix, or JSON lines.

    Checks the file's folder, too, before anything is computed.

    Args:
        output: the file; None: standard output.
        format: one of `FORMATS`.

    Raises:
        ConfigError: neither says a format; no such file can be written; it cannot go
            to standard output; what it needs is not installed.

    >>> row_format("out.csv"), row_format(None)
    ('csv', 'jsonl')
    """
    suffix = Path(output).suffix.lstrip(".").lower() if output else "jsonl"
    chosen = format or suffix
    if chosen not in FORMATS:
        raise ConfigError(
            Diagnostic(
                f"--output {output}",
                f"the suffix .{suffix} is none of a format of rows"
                if suffix
                else "has no suffix, which would say the format",
                expected=".jsonl, .csv or .parquet at the end of the name",
                hint="Or name the format: --format jsonl.",
                code="rows-format",
            )
        )
    if output is not None:
        check_output_file(output, "--output")
    if chosen == "parquet" and output is None:
        raise ConfigError(
            Diagnostic(
                "--format parquet",
                "goes to no standard output: its index is written last, by place",
                hint="Name a file: --output out.parquet.",
                code="rows-format",
            )
        )
    if chosen == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(
            Diagnostic(
                "parquet",
                "needs the package pyarrow, which is not installed",
                hint="Install it: pip install 'specflow-jax[parquet]'. Or write .csv "
                "or .jsonl.",
                code="package-missing",
            )
        )
    return chosen


@contextlib.contextmanager
def writing_rows(output: str | None, format: str) -> Iterator[Write]:
    """Writes batches of rows; a file is there once all of them are.

    A link is followed, the mode of a former file stays, and what is no regular file (a
    pipe, a device, `/dev/fd/N`) gets the rows as they come.

    Numbers are the same in all formats: float32 is written with the digits of its exact
    value, 16-bit floats as the float32 they are. JSON has no word for what is not
    finite: there it is null. In CSV and Parquet a nested prediction is a column named
    by its dotted path; an array within a row is JSON text in CSV, a list in Parquet.

    Args:
        output: the file; None: standard output.
        format: from `row_format`.

    Yields:
        The function that takes each batch.

    Raises:
        OutputError: the file cannot be written; a former one is still there.

    >>> with writing_rows(None, "csv") as write:
    ...     write({"class": np.array([1, 2]), "pair": np.ones((2, 2), np.float32)})
    class,pair
    1,"[1.0, 1.0]"
    2,"[1.0, 1.0]"
    """
    if output is None:
        # Rows are UTF-8 as in files, whatever a terminal here would show.
        reconfigure = getattr(sys.stdout, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8")
        yield _text_writer(sys.stdout, format)
        return
    with replacing(expanded(output, "--output"), setting="--output") as temporary:
        if format == "parquet":
            with ParquetRows(temporary) as rows:
                yield lambda batch: rows.write(_columns(batch))
            return
        with temporary.open("a", encoding="utf-8", newline="") as stream:
            yield _text_writer(stream, format)


def _text_writer(stream: TextIO, format: str) -> Write:
    return _json_writer(stream) if format == "jsonl" else _csv_writer(stream)


def _json_writer(stream: TextIO) -> Write:
    def write(batch: Any) -> None:
        for row in _json_rows(
            batch if isinstance(batch, Mapping) else {"output": batch}
        ):
            stream.write(json.dumps(row, allow_nan=False) + "\n")

    return write


def _json_rows(batch: Any) -> Iterator[Any]:
    """One plain value a row, nested as the batch is."""
    if isinstance(batch, Mapping):
        members = [_json_rows(member) for member in batch.values()]
        for row in zip(*members, strict=True):
            yield dict(zip(batch, row, strict=True))
    elif isinstance(batch, list | tuple):
        for row in zip(*map(_json_rows, batch), strict=True):
            yield list(row)
    else:
        yield from to_plain(_wide(batch))


def _csv_writer(stream: TextIO) -> Write:
    writer = csv.writer(stream, lineterminator="\n")
    header: list[str] = []

    def write(batch: Any) -> None:
        columns = _columns(batch)
        if not header:
            header.extend(columns)
            writer.writerow(header)
        writer.writerows(
            zip(*map(_csv_cells, map(columns.__getitem__, header)), strict=True)
        )

    return write


def _csv_cells(column: np.ndarray) -> list[Any]:
    if column.ndim == 1:
        return column.tolist()  # csv writes the shortest digits that round-trip.
    return [json.dumps(row, allow_nan=False) for row in to_plain(column)]


def _columns(batch: Any) -> dict[str, np.ndarray]:
    """Arrays by dotted path; predictions that are one array are `output`.

    Raises:
        ConfigError: two have the same path, as `{"a.b": ..., "a": {"b": ...}}`.
    """
    columns: dict[str, np.ndarray] = {}
    for path, array in leaves(batch):
        if path in columns:
            raise ConfigError(
                Diagnostic(
                    path,
                    "is the column of two predictions",
                    expected="names that differ where nested names are joined by dots",
                    hint="Rename one of them, or write .jsonl.",
                    code="rows-format",
                )
            )
        columns[path or "output"] = _wide(array)
    return columns


def _wide(array: Any) -> np.ndarray:
    """An array in a dtype that files know: what is narrower, as 32 bits."""
    array = np.asarray(array)
    if array.dtype.kind == "U":
        return array  # Ids of the rows.
    if array.dtype.isbuiltin == 1 and array.dtype != np.float16:
        return array
    return array.astype(np.float32 if is_floating(array.dtype) else np.int32)
