"""Synthetic rows: drawn from sketches of columns, and written as a table."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from specflow.config.sections.table import SplitConfig
from specflow.data.table.table_files import format_of
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.exploration.column_sketches import ColumnSketch
from specflow.output.files import replacing

__all__ = ["synthetic_rows", "write_table"]

_ROWS_A_GROUP = 5


def synthetic_rows(
    sketches: Sequence[ColumnSketch], split: SplitConfig, *, rows: int, seed: int
) -> dict[str, list[Any]]:
    """Draws rows, each column independently of the others.

    Args:
        sketches: of the columns, in the order of the file.
        split: the rule of the splits; its column is added if it is not drawn.
        rows: number of rows.
        seed: equal seeds draw equal rows.

    Returns:
        Column -> its values, None where missing.
    """
    # A stream for each column: one that is added changes no other.
    columns = {
        sketch.name: sketch.draw(rows, _random(seed, sketch.name))
        for sketch in sketches
    }
    column = split.column
    if column is None or (column in columns and split.by != "column"):
        return columns
    random = _random(seed, column)
    if split.by == "column":
        held, tested = split.eval or 0.2, split.test
        shares = [1.0 - held - tested, held, tested]
        names = random.choice(["train", "eval", "test"], rows, p=shares).tolist()
        columns[column] = names
    elif split.by == "time":
        columns[column] = list(range(rows))
    else:
        groups = random.integers(0, max(2, rows // _ROWS_A_GROUP), rows)
        columns[column] = [f"{column} {number}" for number in groups.tolist()]
    return columns


def write_table(columns: Mapping[str, Sequence[Any]], path: Path) -> None:
    """Writes columns as CSV, TSV, JSON lines, Parquet or Arrow, by the suffix.

    Raises:
        DataError: the suffix is no format of tables, or of none with bytes.
        OutputError: the file cannot be written.
    """
    format = format_of(path, key="--output")
    if format not in ("parquet", "arrow"):
        _refuse_bytes(columns, path)
    rows = zip(*columns.values(), strict=True)
    with replacing(path, setting="--output") as temporary:
        if format in ("parquet", "arrow"):
            _write_arrow(columns, temporary, is_parquet=format == "parquet")
            return
        with temporary.open("w", encoding="utf-8", newline="") as file:
            if format == "jsonl":
                for row in rows:
                    plain = dict(zip(columns, row, strict=True))
                    file.write(f"{json.dumps(plain, ensure_ascii=False)}\n")
                return
            lines = csv.writer(file, delimiter="\t" if format == "tsv" else ",")
            lines.writerow(columns)
            lines.writerows(map(_cells, rows))


def _refuse_bytes(columns: Mapping[str, Sequence[Any]], path: Path) -> None:
    """Refuses bytes of pictures in a text file.

    Raises:
        DataError: a column has them.
    """
    for name, values in columns.items():
        if any(isinstance(value, bytes) for value in values):
            raise DataError(
                Diagnostic(
                    "--output",
                    f"column {name} has bytes of pictures, which {path.suffix} lacks",
                    expected="a path that ends in .parquet or .arrow",
                    origin="command line",
                    code="usage",
                )
            )


def _cells(row: Sequence[Any]) -> list[Any]:
    """Cells of a text file: items of a list are separated by |."""
    return [
        "|".join(map(str, value)) if isinstance(value, list) else value for value in row
    ]


def _write_arrow(
    columns: Mapping[str, Sequence[Any]], path: Path, *, is_parquet: bool
) -> None:
    import pyarrow as pa

    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    if is_parquet:
        import pyarrow.parquet

        pyarrow.parquet.write_table(table, path)
    else:
        import pyarrow.feather

        pyarrow.feather.write_feather(table, str(path))


def _random(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, *name.encode("utf-8", "surrogatepass")])
