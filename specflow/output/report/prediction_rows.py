"""Writes rows of predictions as JSON lines, CSV or Parquet, in bounded memory."""

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
"""Formats of rows, each also a suffix of files."""

Write = Callable[[Any], None]
"""Writes the predictions of a batch: an array or nested dicts of arrays, rows first."""


def row_format(output: str | None, format: str | None = None) -> str:
    """Resolves the format: by its name, by the file's suffix, or JSON lines.

    Also checks the file's folder, before anything is computed.

    Args:
        output: the file; None: standard output.
        format: one of `FORMATS`.

    Raises:
        ConfigError: neither gives a format; the file cannot be created; the format
            cannot go to standard output; a package that it needs is not installed.

    >>> row_format("out.csv"), row_format(None)
    ('csv', 'jsonl')
    """
    suffix = Path(output).suffix.lstrip(".").lower() if output else "jsonl"
    chosen = format or suffix
    if chosen not in FORMATS:
        raise ConfigError(
            Diagnostic(
                f"--output {output}",
                f"the suffix .{suffix} is no format of rows"
                if suffix
                else "has no suffix, which would give the format",
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
                "cannot go to standard output: its index contains file offsets",
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
    """Opens a writer of batches of rows; a file appears once all of them are written.

    Links are followed and the mode of an earlier file is kept. Anything but a regular
    file (a pipe, a device, `/dev/fd/N`) receives the rows as they come.

    Numbers are the same in all formats: float32 is written with the digits of its exact
    value, 16-bit floats are converted to float32. Non-finite numbers are null in JSON.
    In CSV and Parquet a nested prediction is a column named by its dotted path; an
    array within a row is JSON text in CSV and a list in Parquet.

    Args:
        output: the file; None: standard output.
        format: from `row_format`.

    Yields:
        The function that writes a batch.

    Raises:
        OutputError: the file cannot be written; an earlier one is unchanged.

    >>> with writing_rows(None, "csv") as write:
    ...     write({"class": np.array([1, 2]), "pair": np.ones((2, 2), np.float32)})
    class,pair
    1,"[1.0, 1.0]"
    2,"[1.0, 1.0]"
    """
    if output is None:
        # UTF-8 as in files, whatever the encoding of the terminal.
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
    """Yields one plain value a row, nested like the batch."""
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
    """Flattens a batch to arrays by dotted path; a bare array is `output`.

    Raises:
        ConfigError: two arrays have the same path, as `{"a.b": ..., "a": {"b": ...}}`.
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
    """Converts an array to a dtype that files support: narrow floats to 32 bits."""
    array = np.asarray(array)
    if array.dtype.kind == "U":
        return array  # Ids of the rows.
    if array.dtype.isbuiltin == 1 and array.dtype != np.float16:
        return array
    return array.astype(np.float32 if is_floating(array.dtype) else np.int32)
