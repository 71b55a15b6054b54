"""Converts text files to Arrow files in the user's cache, once, in bounded memory.

A block of a CSV or JSON lines file cannot be found without reading all lines before it.
The cells stay texts, so that they mean the same as those of a file that is read whole.
"""

import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from specflow.data.table.block_readers import JSON_CELLS, ArrowBlocks
from specflow.data.table.read_retries import RetriedFile
from specflow.data.table.table_files import TableFile, unreadable
from specflow.data.table.table_reader import header_names
from specflow.data.table.text_rows import (
    CountedLines,
    csv_options,
    json_rows,
    misfit_rows,
    with_nul,
    without_text,
)
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.user_cache import user_cache

__all__ = ["NewFolder", "cache_folder", "stored_blocks"]

_FORMAT = 1
"""Version of the store; another one is written anew."""
_SEPARATORS = {"csv": ",", "tsv": "\t"}


def stored_blocks(file: TableFile, block_bytes: int) -> ArrowBlocks:
    """The blocks of a text file, from its store, which is written if there is none.

    Args:
        file: a CSV, TSV or JSON lines file.
        block_bytes: bytes of text of a block, about.

    Raises:
        DataError: the file cannot be read, or the store not be written.
    """
    key = f"{_FORMAT} {file.digest} {file.format} {block_bytes}"
    folder = cache_folder() / hashlib.sha256(key.encode()).hexdigest()[:32]
    if not (folder / "index.json").is_file():
        _write(file, folder, block_bytes)
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    return ArrowBlocks(file, folder / "cells.arrow", index["first_lines"])


def cache_folder() -> Path:
    """Folder of what is kept of tables: of the user, or a temporary one."""
    return user_cache("tables") or Path(tempfile.gettempdir()) / "specflow-tables"


class NewFolder:
    """Context of a folder that is complete or missing, also if several write it.

    Args:
        folder: the folder; what is written goes to a temporary one beside it.
        what: its content, for messages.

    Raises:
        DataError: it cannot be written.
    """

    def __init__(self, folder: Path, what: str):
        self._folder, self._what = folder, what

    def __enter__(self) -> Path:
        self._start = time.monotonic()
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            self._new = Path(tempfile.mkdtemp(dir=self._folder.parent, prefix=".new-"))
        except OSError as error:
            raise self._error(error) from error
        return self._new

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if error is None:
            size = sum(path.stat().st_size for path in self._new.iterdir())
            print(
                f"data: wrote {self._what}, {size / 1e6:,.0f} MB in "
                f"{time.monotonic() - self._start:.1f} s, to {self._folder}",
                file=sys.stderr,
            )
            try:
                os.rename(self._new, self._folder)
            except OSError:
                if not self._folder.is_dir():  # Another process was faster.
                    raise
        shutil.rmtree(self._new, ignore_errors=True)
        if isinstance(error, OSError):
            raise self._error(error) from error

    def _error(self, error: OSError) -> DataError:
        return DataError(
            Diagnostic(
                str(self._folder.parent),
                f"{self._what} cannot be written: {error.strerror or error}",
                expected="a folder with space for the rows",
                hint="Set XDG_CACHE_HOME to a larger disk, or use Parquet files and "
                "data.shuffle=blocks, which need none.",
                code="table-store",
            )
        )


def _write(file: TableFile, folder: Path, block_bytes: int) -> None:
    import pyarrow as pa

    of = _csv_batches if file.format in _SEPARATORS else _json_batches
    with NewFolder(folder, f"the rows of {file.name}") as new:
        facts: dict[str, Any] = {}
        batches = of(file, block_bytes, facts)
        first = next(batches, None)
        if first is None:
            raise unreadable(file, "has no rows", code="data-empty")
        with pa.ipc.new_file(str(new / "cells.arrow"), first.schema) as writer:
            writer.write_batch(first)
            for batch in batches:
                writer.write_batch(batch)
        (new / "index.json").write_text(json.dumps(facts), encoding="utf-8")


def _csv_batches(
    file: TableFile, block_bytes: int, facts: dict[str, Any]
) -> Iterator[Any]:
    """Yields record batches of texts; `facts` has the first line of each at the end."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    misfits: list[Any] = []

    def note(row: Any) -> str:
        misfits.append(row)
        return "skip"

    sizes = []
    names = header_names(file)
    with io.BufferedReader(RetriedFile(file.name, file.path)) as stream:
        counted = CountedLines(stream)
        try:
            reader = arrow_csv.open_csv(
                pa.PythonFile(counted, mode="r"),
                read_options=arrow_csv.ReadOptions(
                    use_threads=False, block_size=block_bytes
                ),
                **csv_options(_SEPARATORS[file.format], names, note),
            )
            for batch in reader:
                if batch.num_rows:
                    sizes.append(batch.num_rows)
                    yield batch
        except pa.ArrowInvalid as error:
            raise without_text(file, error) from error
        if counted.nul is not None:
            raise with_nul(file, counted.nul)
        rows = sum(sizes) + len(misfits)
        aligned = counted.lines == rows + 1
    if misfits:
        raise DataError(*misfit_rows(file, misfits, aligned=aligned))
    starts = [2 + sum(sizes[:place]) for place in range(len(sizes))]
    facts["first_lines"] = starts if aligned else [None] * len(sizes)


def _json_batches(
    file: TableFile, block_bytes: int, facts: dict[str, Any]
) -> Iterator[Any]:
    """Yields record batches of JSON texts; see `_csv_batches`."""
    import pyarrow as pa

    names: dict[str, None] = {}
    for _, row in json_rows(file):
        names.update(dict.fromkeys(row))
    schema = pa.schema([(name, pa.string()) for name in names], {JSON_CELLS: b"1"})
    facts["first_lines"] = []
    held: list[dict[str, str]] = []
    size, start, expected = 0, 1, 1
    for line, row in json_rows(file):
        held.append({name: json.dumps(value) for name, value in row.items()})
        size += sum(map(len, held[-1].values()))
        start = line if len(held) == 1 else start
        # None where a line is empty: its block has rows of other lines.
        expected = line + 1 if line == expected or len(held) == 1 else -1
        if size >= block_bytes:
            yield _json_batch(held, schema)
            facts["first_lines"].append(None if expected < 0 else start)
            held, size = [], 0
    if held:
        yield _json_batch(held, schema)
        facts["first_lines"].append(None if expected < 0 else start)


def _json_batch(rows: list[dict[str, str]], schema: Any) -> Any:
    import pyarrow as pa

    columns = [[row.get(name, "null") for row in rows] for name in schema.names]
    arrays = [pa.array(column, pa.string()) for column in columns]
    return pa.record_batch(arrays, schema=schema)
