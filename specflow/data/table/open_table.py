"""Opens the files of a table: read whole if they fit the bound, else by blocks."""

import sys
from collections.abc import Callable, Sequence

from specflow.columns import FittedColumns
from specflow.config.sections.table import TableConfig
from specflow.data.table.block_readers import ArrowBlocks, ParquetBlocks
from specflow.data.table.row_splits import Rows
from specflow.data.table.split_source import split_source
from specflow.data.table.streamed_cells import StreamedCells
from specflow.data.table.table_blocks import BlockReader, TableBlocks
from specflow.data.table.table_cells import BadCellCounts, TableCells
from specflow.data.table.table_files import TableFile
from specflow.data.table.table_reader import (
    different_columns,
    header_names,
    header_problems,
    read_columns,
)
from specflow.data.table.text_store import stored_blocks
from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = ["check_cells", "opened_cells"]

_COPIES = 3
"""Copies of the cells of a table that is read whole: as read, parsed, and features."""
_TEXT_BLOCKS = 16
_LEAST_BLOCK, _LARGEST_BLOCK = 1 << 16, 8 << 20


def opened_cells(
    config: TableConfig,
    files: Sequence[TableFile],
    wanted: Callable[[Sequence[str]], Sequence[str]],
    named: Sequence[tuple[str, str]],
) -> TableCells:
    """The cells of files: in memory, or in the files.

    Args:
        config: the bound of the memory, and the order of the rows.
        files: the files, of one format.
        wanted: names of all columns of a file -> those to read.
        named: (dotted key, column) of columns that must exist.

    Raises:
        DataError: a file cannot be read, or lacks a column; all files are reported.
    """
    missing = tuple(config.missing)
    is_text = files[0].format not in ("parquet", "arrow")
    text_size = sum(file.path.stat().st_size for file in files)
    if is_text and config.shuffle != "blocks" and not _exceeds(config, text_size):
        return TableCells(read_columns(files, wanted, named), missing)
    readers: list[BlockReader] = []
    names: list[list[str]] = []
    diagnostics: list[Diagnostic] = []
    for file in files:
        try:
            if is_text and (
                problems := header_problems(file, header_names(file), named)
            ):
                raise DataError(*problems)
            reader = _reader(file, config)
            if problems := header_problems(file, reader.names(), named):
                raise DataError(*problems)
            readers.append(reader)
            names.append(list(wanted(reader.names())))
        except DataError as error:
            diagnostics += error.diagnostics
    diagnostics = diagnostics or different_columns(
        [(file.name, columns) for file, columns in zip(files, names, strict=True)]
    )
    if diagnostics:
        raise DataError(*diagnostics)
    size = sum(
        reader.bytes_of(columns) for reader, columns in zip(readers, names, strict=True)
    )
    if not (is_text or config.shuffle == "blocks" or _exceeds(config, size)):
        return TableCells(read_columns(files, wanted, named), missing)
    blocks = TableBlocks(files, readers, missing)
    how = "rows" if config.shuffle == "rows" else "blocks"
    print(
        f"data: {blocks.rows:,} rows ({size / 1e6:,.0f} MB) in {len(blocks.blocks):,} "
        f"blocks are read as they are needed: data.memory={config.memory}"
        + (f", data.shuffle={how}" if config.shuffle else ""),
        file=sys.stderr,
    )
    return StreamedCells(blocks, names[0], missing)


def check_cells(
    cells: StreamedCells,
    rows: Rows,
    fitted: FittedColumns,
    split: str,
    needs_labels: bool,
) -> None:
    """Checks every cell of a split of a streamed table.

    Args:
        cells: the table.
        rows: numbers of the split's rows.
        fitted: makes the features.
        split: name of the split, for messages.
        needs_labels: rows must have labels.

    Raises:
        DataError: cells are wrong; all columns are reported.
    """
    diagnostics: list[Diagnostic] = []
    counts = BadCellCounts()
    doing = f"checking the {split} split"
    for _, part, inside in cells.parts(cells.names, rows, counts, doing=doing):
        if not inside.size:
            continue
        try:
            split_source(fitted, part, inside, split, (), needs_labels)
        except DataError as error:
            diagnostics += error.diagnostics
    diagnostics += counts.further()
    if diagnostics:
        raise DataError(*dict.fromkeys(diagnostics))


def _exceeds(config: TableConfig, size: int) -> bool:
    return size * _COPIES > config.memory_bytes


def _reader(file: TableFile, config: TableConfig) -> BlockReader:
    if file.format == "parquet":
        return ParquetBlocks(file)
    if file.format == "arrow":
        return ArrowBlocks(file)
    size = config.memory_bytes // _TEXT_BLOCKS
    return stored_blocks(file, min(max(size, _LEAST_BLOCK), _LARGEST_BLOCK))
