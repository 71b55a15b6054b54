"""Assigns rows to training steps, with random access by step."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.data.array_tree import map_leaves, named_leaves
from specflow.data.joined_source import JoinedSource
from specflow.data.narrowing import checked_batch
from specflow.data.row_draws import AugmentedSource, RowDraws
from specflow.data.row_order import PlacedOrder, epoch_rows, order_of, stream_rows
from specflow.data.source import ArraySource, NewArrays, Source
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.typing import Tree

__all__ = ["WHOLE", "BatchPlan", "Share"]


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """Parts of each batch that this process reads; a single process reads all."""

    parts: tuple[int, ...] = (0,)
    """Indices of the parts, ascending."""
    of: int = 1
    """Number of equal parts of a batch."""

    def rows(self, batch_size: int) -> npt.NDArray[np.int64]:
        """Returns the indices of this process's rows in a batch, ascending.

        Raises:
            DataError: the batch has no such parts.

        >>> Share((1,), 2).rows(8), Share((0, 2), 4).rows(8)
        (array([4, 5, 6, 7]), array([0, 1, 4, 5]))
        """
        if batch_size % self.of:
            raise DataError(
                Diagnostic(
                    "batch_size",
                    f"{batch_size} rows do not divide into {self.of} parts",
                    expected=f"a multiple of {self.of}",
                    code="batch-divides",
                )
            )
        places = np.arange(batch_size).reshape(self.of, -1)
        return places[list(self.parts)].reshape(-1)


WHOLE = Share()
"""All rows, as a single process reads them."""


class BatchPlan:
    """Batches of all training steps, each computed independently of the others.

    The rows form one endless stream: epoch after epoch, each a permutation of all rows
    drawn from `(seed, epoch)`: a uniform one, unless the source has an order in which
    it is read faster. Step i sees positions `[i*b, (i+1)*b)` of the stream, so
    nothing is dropped at the end of an epoch, a batch may be larger than the data, and
    the stream depends on neither chunks nor processes nor where a run was resumed.

    A run that is resumed with another batch size continues behind the rows that were
    seen, on a multiple of b or not: step i then sees positions
    `[r + (i-s)*b, r + (i-s+1)*b)`, for r rows seen in s steps.

    Args:
        source: the rows.
        batch_size: b, rows of a step over all processes.
        seed: seed of the order.
        shuffle: False: every epoch in the rows' own order.
        share: which parts of each batch this process reads.
        start_step: s, a step whose place in the stream is known.
        start_row: r, rows of the stream before that step; None: s * b.
        place: `place` of the plan of the run that is resumed, if there is one.

    Raises:
        DataError: the processes cannot share the batch evenly.

    >>> from specflow.data.source import ArraySource
    >>> plan = BatchPlan(ArraySource(np.arange(5)), 3, shuffle=False)
    >>> plan.rows(1, 2)[0]
    array([[3, 4, 0], [1, 2, 3]], dtype=int32)
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        share: Share = WHOLE,
        start_step: int = 0,
        start_row: int | None = None,
        place: Mapping[str, Any] | None = None,
    ):
        self.source = source
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self._share = share.rows(batch_size)
        row = start_step * batch_size if start_row is None else start_row
        self._first_row = row - start_step * batch_size
        self._size = epoch_rows(source)
        self._order = order_of(source, seed, shuffle=shuffle)
        if place and isinstance(self._order, PlacedOrder):
            self._order = self._order.resumed(place)

    def position(self, step: int) -> int:
        """Rows of the stream before those that a step sees, over all processes."""
        return self._first_row + step * self.batch_size

    def epoch(self, step: int) -> int:
        """The epoch, counted from 0, of the first row that a step sees."""
        return self.position(step) // self._size

    def place(self, step: int) -> dict[str, Any]:
        """The position before a step, as JSON; it determines the rest of the stream."""
        rows = self.position(step)
        place = {
            "next_step": step,
            "rows": rows,
            "epoch": rows // self._size,
            "seed": self.seed,
        }
        if isinstance(self._order, PlacedOrder):
            place |= self._order.place(rows)
        return place

    def part_rows(self, step: int) -> dict[str, int]:
        """Rows of each part of a mixture before a step; empty if it is none."""
        order = self._order
        is_placed = isinstance(order, PlacedOrder)
        return order.part_rows(self.position(step)) if is_placed else {}

    def row_ids(self, first_step: int, steps: int) -> npt.NDArray[np.int64]:
        """Row numbers "steps b" that this process reads for some consecutive steps."""
        b = self.batch_size
        position, stop = self.position(first_step), self.position(first_step + steps)
        # A chunk may begin before the stream does; those steps are never entered.
        before = np.zeros(min(max(0, -position), steps * b), np.int64)
        rows = stream_rows(self._order, self._size, max(0, position), stop)
        return np.concatenate([before, rows]).reshape(steps, b)[:, self._share]

    def rows(self, first_step: int, steps: int) -> tuple[Tree, Tree]:
        """Features and labels of some consecutive steps, each array "steps b ..."."""
        ids = self.row_ids(first_step, steps)

        def stacked(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return array.reshape(*ids.shape, *array.shape[1:])

        taken = self._taken(ids, first_step)
        if not isinstance(
            self.source, ArraySource | JoinedSource | NewArrays
        ):  # It may give the same memory, filled anew, for the next rows.
            taken = map_leaves(np.array, taken)
        where = f"batches from step {first_step}"
        features, labels = checked_batch(*taken, where=where)
        return map_leaves(stacked, features), map_leaves(stacked, labels)

    def _taken(self, ids: npt.NDArray[np.int64], first_step: int) -> tuple[Tree, Tree]:
        """Features and labels of rows, changed at random where the source does so."""
        if not isinstance(self.source, AugmentedSource):
            return self.source.take(ids.reshape(-1))
        steps, b = len(ids), self.batch_size
        places = self.position(first_step) + np.arange(steps * b).reshape(steps, b)
        epochs = np.maximum(0, places[:, self._share]) // self._size
        draws = RowDraws(self.seed, epochs.reshape(-1), ids.reshape(-1))
        return self.source.take_augmented(ids.reshape(-1), draws)

    def step_bytes(self) -> int:
        """Bytes of this process's rows of one step."""
        return len(self._share) * sum(
            row.dtype.itemsize * math.prod(row.shape)
            for _, row in named_leaves(*self.source.spec())
        )
