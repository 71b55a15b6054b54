"""Orders in which the rows of an epoch are trained on."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

__all__ = [
    "BlockOrder",
    "FullOrder",
    "OrderedSource",
    "PlacedOrder",
    "RowOrder",
    "Window",
    "epoch_rows",
    "order_of",
    "stream_rows",
]

RowIds = npt.NDArray[np.int64]
_RAMP = 3
"""Number of first windows of which each is half as large as the next one."""


class RowOrder(Protocol):
    """A permutation of all rows for each epoch, a function of a seed alone."""

    def rows(self, epoch: int, start: int, stop: int) -> RowIds:
        """Row numbers at some positions of an epoch, int64 "n".

        Args:
            epoch: counted from 0.
            start: first position.
            stop: position after the last one; beyond the epoch: to its end.
        """
        ...


@runtime_checkable
class OrderedSource(Protocol):
    """A `Source` that knows the order in which its rows are read fast."""

    def row_order(self, seed: int, *, shuffle: bool) -> RowOrder:
        """The order of training."""
        ...


@runtime_checkable
class PlacedOrder(RowOrder, Protocol):
    """A `RowOrder` that continues from a place of an order with other settings."""

    def place(self, rows: int) -> dict[str, Any]:
        """The state of the order that a checkpoint keeps.

        Args:
            rows: rows of the stream before the checkpoint, over all epochs.
        """
        ...

    def part_rows(self, rows: int) -> dict[str, int]:
        """Part -> how many of the first rows of the stream are its."""
        ...

    def resumed(self, place: Mapping[str, Any]) -> Self:
        """The order that continues from a checkpoint.

        Args:
            place: place in the data; without one of such an order it is ignored.
        """
        ...


def order_of(source: Any, seed: int, *, shuffle: bool) -> RowOrder:
    """The order of training on the rows of a `Source`."""
    if isinstance(source, OrderedSource):
        return source.row_order(seed, shuffle=shuffle)
    return FullOrder(len(source), seed, shuffle=shuffle)


def epoch_rows(source: Any) -> int:
    """Rows of an epoch of a `Source`: all of them, unless it says otherwise."""
    return getattr(source, "epoch_rows", len(source))


def stream_rows(order: RowOrder, size: int, start: int, stop: int) -> RowIds:
    """Row numbers at some positions of the stream of epoch after epoch, int64 "n".

    Args:
        order: of the rows of an epoch.
        size: rows of an epoch.
        start: first position.
        stop: position after the last one.

    >>> stream_rows(FullOrder(3, seed=0, shuffle=False), 3, 2, 7)
    array([2, 0, 1, 2, 0])
    """
    parts = [np.array([], np.int64)]
    while start < stop:
        epoch, offset = divmod(start, size)
        part = order.rows(epoch, offset, min(size, offset + stop - start))
        parts.append(part)
        start += len(part)
    return np.concatenate(parts)


class FullOrder:
    """A uniform permutation of all rows for each epoch.

    Args:
        size: number of rows.
        seed: of the permutations.
        shuffle: False: every epoch in the rows' own order.

    >>> FullOrder(5, seed=0, shuffle=False).rows(0, 3, 9)
    array([3, 4])
    """

    def __init__(self, size: int, seed: int, *, shuffle: bool):
        self._size, self._seed, self._shuffle = size, seed, shuffle
        # Two epochs: the end of one and the start of the next often share a batch.
        self._epoch = functools.lru_cache(maxsize=2)(self._draw)

    def rows(self, epoch: int, start: int, stop: int) -> RowIds:
        """Row numbers at some positions of an epoch."""
        if not self._shuffle:
            return np.arange(start, min(stop, self._size))
        return self._epoch(epoch)[start:stop]

    def _draw(self, epoch: int) -> RowIds:
        return generator(self._seed, epoch).permutation(self._size)


def generator(seed: int, epoch: int) -> np.random.Generator:
    """The random numbers of an epoch."""
    if seed < 2**32:
        # Two numbers of 32 bits, as NumPy takes them; it would not tell three (the
        # epoch, and a seed of two) from those of another seed's epoch.
        return np.random.default_rng([seed, epoch])
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,)))


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """Consecutive positions of an epoch, whose rows are permuted together."""

    epoch: int
    start: int
    """Position of the first row."""
    stop: int
    blocks: tuple[int, ...]
    """Blocks of the rows, in the order of the epoch."""


class BlockOrder:
    """An order that reads blocks of consecutive rows whole, a window at a time.

    In each epoch the blocks are permuted, and as many of them as fit make a window,
    whose rows are permuted. The order is a function of the seed, the epoch, the sizes
    of the blocks and that of the window.

    It is not uniform. Rows of one block are at most a window apart, so a batch has rows
    of the blocks of one window (or two) alone: with w blocks a window, the share of a
    class in a batch varies as that of w random blocks does. Rows that are sorted by
    label need `FullOrder`; blocks whose rows are in no order need nothing.
    The first three windows of the first epoch are an eighth, a quarter and a half of a
    window.

    Args:
        sizes: number of rows of each block.
        window: largest number of rows of a window; a block that is larger is one.
        seed: of the permutations.
        shuffle: False: every epoch in the rows' own order.

    >>> order = BlockOrder([2, 2, 2], window=4, seed=0)
    >>> order.rows(1, 0, 6), order.windows(1)[0].blocks
    (array([0, 1, 5, 4, 2, 3]), (2, 0))
    """

    def __init__(
        self, sizes: Sequence[int], window: int, seed: int, *, shuffle: bool = True
    ):
        self._sizes = np.asarray(sizes, np.int64)
        self._firsts = np.cumsum([0, *sizes], dtype=np.int64)
        self._window, self._seed, self._shuffle = window, seed, shuffle
        self.windows = functools.lru_cache(maxsize=3)(self._divide)
        """Epoch -> its windows, in order."""
        # Half as large as indices: two windows are held, and permuted in the cache.
        self._dtype = np.int32 if self._firsts[-1] < 2**31 else np.int64
        self._rows_of = functools.lru_cache(maxsize=2)(self._draw)

    def rows(self, epoch: int, start: int, stop: int) -> RowIds:
        """Row numbers at some positions of an epoch."""
        return np.concatenate(
            [
                self._rows_of(window)[
                    max(0, start - window.start) : stop - window.start
                ]
                for window in self.windows_at(epoch, start, stop)
            ]
            or [np.array([], np.int64)]
        ).astype(np.int64, copy=False)

    def windows_at(self, epoch: int, start: int, stop: int) -> list[Window]:
        """The windows of some positions of an epoch."""
        return [
            window
            for window in self.windows(epoch)
            if window.start < stop and start < window.stop
        ]

    def window_after(self, window: Window) -> Window:
        """The window that follows, of the next epoch after the last one."""
        for other in self.windows(window.epoch):
            if other.start == window.stop:
                return other
        return self.windows(window.epoch + 1)[0]

    def _divide(self, epoch: int) -> list[Window]:
        blocks = np.flatnonzero(self._sizes)
        if self._shuffle:
            blocks = generator(self._seed, epoch).permutation(blocks)
        windows: list[Window] = []
        held: list[int] = []
        start = stop = 0
        for block in blocks.tolist():
            size = int(self._sizes[block])
            # The first windows of a run are smaller, so that its first step is early.
            ramp = max(0, _RAMP - len(windows)) if epoch == 0 else 0
            if held and stop + size - start > self._window >> ramp:
                windows.append(Window(epoch, start, stop, tuple(held)))
                held, start = [], stop
            held.append(block)
            stop += size
        windows.append(Window(epoch, start, stop, tuple(held)))
        return windows

    def _draw(self, window: Window) -> npt.NDArray[Any]:
        rows = np.concatenate(
            [
                np.arange(
                    self._firsts[block], self._firsts[block + 1], dtype=self._dtype
                )
                for block in window.blocks
            ]
        )
        if not self._shuffle:
            return rows
        # Another stream than the one that orders the blocks of the epoch.
        key = (window.epoch, 1 + window.start)
        source = np.random.SeedSequence(self._seed, spawn_key=key)
        return np.random.default_rng(source).permutation(rows)
