"""The rows of one split of a table that is larger than memory."""

import concurrent.futures
import contextlib
import functools
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from specflow.columns import FittedColumns
from specflow.data.array_tree import map_leaves, named_leaves
from specflow.data.row_order import BlockOrder, RowIds, RowOrder
from specflow.data.source import ArraySource, Rows, Source, unknown_array
from specflow.data.table.decode_threads import in_threads
from specflow.data.table.encoded_images import image_content
from specflow.data.table.number_parts import are_numbers, is_written
from specflow.data.table.split_labels import split_labels
from specflow.data.table.split_source import row_identifiers, split_source
from specflow.data.table.streamed_cells import StreamedCells
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.typing import Tree

__all__ = ["StreamedSource"]

Blocks = tuple[int, ...]
_WINDOWS = 4
"""Windows that fit the bound: one that is read from, the next, and room to parse."""


class _SplitRows:
    """The rows of a split: a bit a row of the table, as their numbers would take 64.

    Args:
        size: number of rows of the table.
        rows: numbers of those of the split.
    """

    def __init__(self, size: int, rows: RowIds):
        is_inside = np.zeros(size, np.bool_)
        is_inside[rows] = True
        self._bits = np.packbits(is_inside)

    def between(self, start: int, stop: int) -> RowIds:
        """Its rows from `start` and before `stop`, counted from `start`."""
        bits = np.unpackbits(self._bits[start // 8 : -(-stop // 8)])
        return np.flatnonzero(bits[start % 8 :][: stop - start])


class _BlocksOfRows:
    """The block of each of many rows.

    Args:
        sizes: number of rows of each block.
    """

    _BITS = 10

    def __init__(self, sizes: Sequence[int]):
        self._firsts = np.cumsum([0, *sizes])
        self._near: npt.NDArray[Any] | None = None
        """The block of every 1024th row: in random order a search takes three times as
        long as a look at it."""
        if min(sizes[:-1], default=0) >= 1 << self._BITS:
            near = np.arange(0, int(self._firsts[-1]), 1 << self._BITS)
            self._near = np.searchsorted(self._firsts, near, side="right") - 1

    def __call__(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self._near is None:
            return np.searchsorted(self._firsts, rows, side="right") - 1
        blocks = self._near.take(rows >> self._BITS)
        blocks += rows >= self._firsts.take(blocks + 1)
        return blocks


class _Loaded:
    """Rows of some blocks in memory."""

    def __init__(self, blocks: tuple[int, ...], starts: dict[int, int], arrays: Any):
        self.blocks = frozenset(blocks)
        self.starts = starts
        """Block -> index of its first row in the arrays."""
        self.arrays = arrays
        """Trees of features and labels, with room for more rows."""


class StreamedSource:
    """Rows of one split, of which a window of blocks is in memory.

    Rows are read in the order of `row_order` at the speed of the files, since a thread
    reads the next window while this one is used; in another order each block is read
    again for every request.

    Args:
        cells: the table.
        rows: numbers of the split's rows.
        fitted: makes the features.
        name: of the split, for messages.
        ids: columns that identify rows.
        needs_labels: False: there are no labels.
        memory: bytes of rows that may be held.
        digest: of the content, which other processes compare.
        roots: column of images -> folder of its relative paths.
    """

    takes_new: Literal[True] = True

    def __init__(
        self,
        cells: StreamedCells,
        rows: RowIds,
        *,
        fitted: FittedColumns,
        name: str,
        ids: Sequence[str],
        needs_labels: bool,
        memory: int,
        digest: str,
        roots: Mapping[str, str | None],
    ):
        self._cells = cells
        self._split = _SplitRows(len(cells), rows)
        self._fitted, self._name = fitted, name
        self._ids, self._needs_labels = ids, needs_labels
        self._memory, self.digest, self._roots = memory, digest, roots
        self._are_numbers = are_numbers(fitted)
        self.origin = f"{name} split"
        edges = [*cells.blocks.firsts, len(cells)]
        self._sizes: list[int] = np.diff(np.searchsorted(rows, edges)).tolist()
        self._firsts = np.cumsum([0, *self._sizes])
        self._blocks_of = _BlocksOfRows(self._sizes)
        self._lock = threading.RLock()
        self._held: _Loaded | None = None
        self._spare: list[Any] = []
        """Arrays of windows that are no longer held: new ones cost a page fault for
        every 4 KiB."""
        self._planned: list[Blocks] = []
        self._ahead: tuple[Blocks, concurrent.futures.Future[_Loaded]] | None = None
        largest = max(self._sizes, default=0)
        if largest and largest * self.row_bytes > memory:
            raise _too_large(cells, self._sizes.index(largest), self.row_bytes, memory)
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "specflow-read-ahead")

    def __len__(self) -> int:
        return int(self._firsts[-1])

    @functools.cached_property
    def _spec(self) -> tuple[Tree, Tree]:
        first = next(index for index, size in enumerate(self._sizes) if size)
        return next(self._parts(first)).spec()

    def spec(self) -> tuple[Tree, Tree]:
        """A `RowSpec` in place of each array of features and labels."""
        return self._spec

    @functools.cached_property
    def row_bytes(self) -> int:
        """Bytes of one row of features and labels."""
        return sum(
            row.dtype.itemsize * int(np.prod(row.shape))
            for _, row in named_leaves(*self.spec())
        )

    @property
    def window_rows(self) -> int:
        """Largest number of rows of a window."""
        return max(1, self._memory // _WINDOWS // max(1, self.row_bytes))

    def row_order(self, seed: int, *, shuffle: bool) -> RowOrder:
        """The order of training: blocks, and then rows inside of a window."""
        order = BlockOrder(self._sizes, self.window_rows, seed, shuffle=shuffle)
        return _PlannedOrder(order, self._plan)

    def take(self, rows: Rows) -> tuple[Tree, Tree]:
        """Returns features and labels of some rows."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        rows = np.asarray(rows)
        blocks = self._blocks_of(rows)
        with self._lock:
            taken = self._gathered(rows, blocks)
            self._read_ahead()
        return taken

    def parts(self) -> Iterator[Source]:
        """Yields all rows in order, in parts that are read anew."""
        for block, size in enumerate(self._sizes):
            if size:
                yield from self._parts(block)

    def column_blocks(self, path: str) -> Iterator[npt.NDArray[Any]]:
        """Yields the array at `path`, such as `labels`, block by block.

        Raises:
            DataError: there is no such array.
        """
        known = dict(named_leaves(*self.spec()))
        if path not in known:
            raise unknown_array(path, known, self.origin)
        if path.partition(".")[0] != "labels":
            for part in self.parts():
                yield part.column(path)
            return
        fitted = self._fitted
        names = [*fitted.labels, *filter(None, [fitted.weights])]
        for _, cells, inside in self._cells.parts(names, self._rows_of_split()):
            diagnostics: list[Diagnostic] = []
            labels = split_labels(fitted, cells, inside, diagnostics)
            if diagnostics:
                raise DataError(*diagnostics)
            yield dict(named_leaves(None, labels))[path]

    def column(self, path: str) -> npt.NDArray[Any]:
        """All rows of the array at `path`."""
        return np.concatenate(list(self.column_blocks(path)))

    @functools.cached_property
    def ids(self) -> dict[str, npt.NDArray[Any]]:
        """Name -> identifier of each row, text or integers."""
        rows = self._rows_of_split()
        return {
            name: row_identifiers(self._cells, name, rows)
            for name in self._ids
            if name in self._cells.names
        }

    def place(self, row: int) -> str:
        """The file and line of a row of this split."""
        return self._cells.place(self._row_of_table(row))

    def cell_parts(self) -> Iterator[tuple[TableCells, RowIds]]:
        """Yields parts of the table, and the rows of this split in each of them."""
        parts = self._cells.parts(self._fitted.sources, self._rows_of_split())
        return ((cells, inside) for _, cells, inside in parts)

    def raw(self, rows: slice) -> dict[str, list[Any]]:
        """Raw values of some rows by column, as the files have them."""
        numbers = [self._row_of_table(row) for row in range(*rows.indices(len(self)))]
        return {
            name: [self._cells.value(name, number) for number in numbers]
            for name in self._fitted.sources
        }

    def served_raw(self, rows: slice) -> dict[str, list[Any]]:
        """Raw values of some rows as a client sends them: the bytes of images."""
        raw = self.raw(rows)
        numbers = [self._row_of_table(row) for row in range(*rows.indices(len(self)))]
        for name in self._fitted.images:
            source = self._fitted.sources_of(name)[0]
            folders = self._cells.folders(np.array(numbers), self._roots.get(name))
            pairs = list(zip(raw[source], folders, strict=True))
            raw[source] = list(in_threads(lambda pair: image_content(*pair), pairs))
        return raw

    def _rows_of_split(self) -> RowIds:
        return self._split.between(0, len(self._cells))

    def _inside(self, block: int) -> npt.NDArray[np.intp]:
        """Rows of this split in a block, counted from its first row."""
        place = self._cells.blocks.blocks[block]
        return self._split.between(place.first_row, place.first_row + place.rows)

    def _row_of_table(self, row: int) -> int:
        block = int(np.searchsorted(self._firsts, row, side="right")) - 1
        first = self._cells.blocks.blocks[block].first_row
        return first + int(self._inside(block)[row - int(self._firsts[block])])

    def _parts(self, block: int) -> Iterator[Source]:
        """Reads the rows of this split in a block, part by part."""
        for cells, inside in self._read(block):
            source, rows = self._part(cells, inside)
            yield source if rows is None else _rows_alone(source, rows)

    def _read(self, block: int) -> Iterator[tuple[TableCells, RowIds]]:
        """Reads a block: cells of its parts, and the rows of this split in each."""
        place = self._cells.blocks.blocks[block]
        inside = self._inside(block) + place.first_row
        for first, cells in self._cells.blocks.read(block, self._cells.names):
            start, stop = np.searchsorted(inside, [first, first + len(cells)])
            if start < stop:
                yield cells, inside[start:stop] - first

    def _part(self, cells: TableCells, rows: RowIds) -> tuple[Source, RowIds | None]:
        """Features of a part, and the rows of this split among them; None: all."""
        source = functools.partial(
            split_source,
            self._fitted,
            cells,
            split=self._name,
            ids=(),
            needs_labels=self._needs_labels,
            roots=self._roots,
        )
        if len(cells) // 2 < len(rows) < len(cells) and not self._fitted.images:
            # Rows are selected faster from features than from every column.
            with contextlib.suppress(DataError):  # Of a row of another split.
                return source(rows=np.arange(len(cells))), rows
        return source(rows=rows), None

    def _load(self, blocks: tuple[int, ...]) -> _Loaded:
        """Reads blocks into arrays."""
        try:
            arrays = self._spare.pop()
        except IndexError:
            arrays = self._empty(max(self.window_rows, *self._sizes))
        starts: dict[int, int] = {}
        at = 0
        for block in blocks:
            starts[block] = at
            for cells, inside in self._read(block):
                stop = at + len(inside)
                if not self._are_numbers or not is_written(
                    self._fitted, cells, inside, arrays, at
                ):
                    part, rows = self._part(cells, inside)
                    write = functools.partial(_write, slice(at, stop), rows)
                    map_leaves(write, arrays, part.take(slice(None)))
                at = stop
        return _Loaded(blocks, starts, arrays)

    def _gathered(
        self, rows: npt.NDArray[Any], blocks: npt.NDArray[Any]
    ) -> tuple[Tree, Tree]:
        is_needed = np.zeros(len(self._sizes), np.bool_)
        is_needed[blocks] = True
        needed = set(np.flatnonzero(is_needed).tolist())
        taken: tuple[Tree, Tree] | None = None
        starts = np.zeros(len(self._sizes), np.int64)
        while needed:
            window = self._held = self._next_window(needed)
            for block in window.blocks & needed:
                starts[block] = window.starts[block] - self._firsts[block]
            if taken is None and needed <= window.blocks:
                places = rows + starts[blocks]
                return map_leaves(functools.partial(_rows_at, places), window.arrays)
            if taken is None:
                taken = self._empty(len(rows))
            mine = np.flatnonzero(np.isin(blocks, list(window.blocks & needed)))
            places = rows[mine] + starts[blocks[mine]]
            map_leaves(functools.partial(_move, mine, places), taken, window.arrays)
            needed -= window.blocks
        return self._empty(0) if taken is None else taken

    def _empty(self, rows: int) -> tuple[Tree, Tree]:
        return map_leaves(
            lambda spec: np.empty((rows, *spec.shape), spec.dtype), self.spec()
        )

    def _next_window(self, needed: set[int]) -> _Loaded:
        """A window with needed blocks: that which is held, read ahead, or loaded."""
        if self._held is not None and self._held.blocks & needed:
            return self._held
        if self._ahead is not None and needed.intersection(self._ahead[0]):
            window = self._ahead[1].result()
            self._ahead = None
            self._release()
            return window
        self._release()  # Before another one is loaded.
        first = min(needed)
        planned = (blocks for blocks in self._planned if needed.intersection(blocks))
        return self._load(next(planned, (first,)))

    def _release(self) -> None:
        """Keeps the arrays of the window that is held for another one."""
        if self._held is not None:
            self._spare.append(self._held.arrays)
            self._held = None

    def _plan(self, windows: list[Blocks]) -> None:
        """Learns which windows are read next, in order."""
        with self._lock:
            self._planned = windows

    def _read_ahead(self) -> None:
        """Starts to read the window after the last one that is held."""
        if self._ahead is not None or self._held is None:
            return
        held = self._held.blocks
        after: Blocks = self._planned[-1] if self._planned else ()
        if not any(held == set(blocks) for blocks in self._planned):
            # Rows are read in their own order: the next block.
            later = range(max(held) + 1, len(self._sizes))
            after = tuple(itertools.islice((b for b in later if self._sizes[b]), 1))
        if after and not held & set(after):
            self._ahead = after, self._thread.submit(self._load, after)


class _PlannedOrder:
    """An order that announces which windows are read next."""

    def __init__(self, order: BlockOrder, plan: Callable[[list[Blocks]], None]):
        self._order, self._plan = order, plan

    def rows(self, epoch: int, start: int, stop: int) -> RowIds:
        """Row numbers at some positions of an epoch."""
        windows = self._order.windows_at(epoch, start, stop)
        after = self._order.window_after(windows[-1])
        self._plan([window.blocks for window in (*windows, after)])
        return self._order.rows(epoch, start, stop)


def _too_large(
    cells: StreamedCells, index: int, row_bytes: int, memory: int
) -> DataError:
    block = cells.blocks.blocks[index]
    size = block.rows * row_bytes
    return DataError(
        Diagnostic(
            cells.blocks.files[block.file].name,
            f"block {block.number} has {block.rows:,} rows, whose features take "
            f"{size / 2**20:,.1f} MiB",
            expected=f"at most {memory / 2**20:,.1f} MiB, by data.memory",
            hint=f"Set data.memory={-(-3 * size // 2**20)}MiB, or write the file with "
            "smaller row groups.",
            code="table-memory",
        )
    )


def _rows_alone(source: Source, rows: RowIds) -> Source:
    """Some rows of a source that was checked."""
    return ArraySource(*source.take(rows), finite=False)


def _write(place: slice, rows: RowIds | None, array: Any, part: Any) -> None:
    if rows is None:
        array[place] = part
    else:
        # Rows are in range: NumPy would write them by way of a copy to check that.
        np.take(part, rows, axis=0, out=array[place], mode="clip")


def _rows_at(places: Any, array: Any) -> Any:
    return np.take(array, places, axis=0)


def _move(rows: Any, places: Any, out: Any, array: Any) -> None:
    if rows[-1] - rows[0] + 1 == len(rows):  # The rows of a window, in their order.
        out = out[rows[0] : rows[-1] + 1]
        np.take(array, places, axis=0, out=out, mode="clip")
    else:
        out[rows] = array[places]
