"""Opens the files of a table: read whole if they fit the bound, else by blocks."""

import dataclasses
import sys
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from specflow.columns import FittedColumns
from specflow.config.sections.table import TableConfig
from specflow.data.table.block_readers import ArrowBlocks, ParquetBlocks
from specflow.data.table.image_source import PixelSource
from specflow.data.table.row_splits import Rows
from specflow.data.table.split_labels import no_weights, split_labels
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
    if files[0].images is not None:
        return TableCells(read_columns(files, wanted, named), missing)
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
    splits: Mapping[str, Rows],
    fitted: FittedColumns,
    needs_labels: Collection[str],
    roots: Mapping[str, str | None],
    proven: Collection[str] = (),
) -> None:
    """Checks the cells of splits of a streamed table, in one pass.

    Args:
        cells: the table.
        splits: name of each split -> numbers of its rows, ascending.
        fitted: makes the features.
        needs_labels: splits whose rows must have labels.
        roots: column of images -> folder of its relative paths.
        proven: columns of which every cell is known to be valid.

    Raises:
        DataError: cells are wrong; all columns of all splits are reported.
    """
    columns = {
        name: column for name, column in fitted.columns.items() if name not in proven
    }
    unproven = dataclasses.replace(fitted, columns=columns)
    names = list(unproven.sources)
    if needs_labels:
        names += [*fitted.labels, *filter(None, [fitted.weights])]
    if not names:
        return
    diagnostics: dict[str, list[Diagnostic]] = {split: [] for split in splits}
    counts = {split: BadCellCounts() for split in splits}
    weighted: set[str] = set()
    """Splits of which a row has a weight."""
    doing = f"checking {' and '.join(splits)} rows"
    for first, part, _ in cells.parts(list(dict.fromkeys(names)), doing=doing):
        for split, rows in splits.items():
            start, stop = np.searchsorted(rows, [first, first + len(part)])
            if start == stop:
                continue
            counted = dataclasses.replace(part, counts=counts[split])
            inside = rows[start:stop] - first
            with_labels = split in needs_labels
            if with_labels and fitted.weights and split not in weighted:
                weights, _ = part.numbers(fitted.weights)
                weighted |= {split} if (weights[inside] > 0.0).any() else set()
            try:
                if columns:
                    source = split_source(
                        unproven, counted, inside, split, (), with_labels, roots
                    )
                    if isinstance(source, PixelSource):
                        source.decode(memory=-1)
                elif with_labels:
                    split_labels(fitted, counted, inside, diagnostics[split])
            except DataError as error:
                diagnostics[split] += error.diagnostics
    for split, counted in counts.items():
        diagnostics[split] += counted.further()
        lacks = fitted.weights and split in needs_labels and split not in weighted
        if lacks and len(splits[split]) and not diagnostics[split]:
            unweighted = no_weights(str(fitted.weights), split, len(splits[split]))
            diagnostics[split].append(unweighted)
    if every := [each for some in diagnostics.values() for each in some]:
        raise DataError(*dict.fromkeys(every))


def _exceeds(config: TableConfig, size: int) -> bool:
    return size * _COPIES > config.memory_bytes


def _reader(file: TableFile, config: TableConfig) -> BlockReader:
    if file.format == "parquet":
        return ParquetBlocks(file)
    if file.format == "arrow":
        return ArrowBlocks(file)
    size = config.memory_bytes // _TEXT_BLOCKS
    return stored_blocks(file, min(max(size, _LEAST_BLOCK), _LARGEST_BLOCK))
