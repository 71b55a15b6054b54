"""Which rows each training step sees: random access to batches by step."""

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.data.source import Source
from specflow.data.tree import map_leaves, named_leaves
from specflow.errors import DataError, Fault
from specflow.typing import Tree

__all__ = ["BatchPlan", "process_slice"]


class BatchPlan:
    """The batch of every training step, known without making the ones before it.

    The rows form one endless stream: epoch after epoch, each a permutation of all rows
    drawn from `(seed, epoch)`. Step i sees positions `[i*b, (i+1)*b)` of the stream, so
    nothing is dropped at the end of an epoch, a batch may be larger than the data, and
    the stream depends on neither chunks nor processes nor where a run was resumed.

    Args:
        source: the rows.
        batch_size: b, rows of a step over all processes.
        seed: seed of the order.
        shuffle: False: every epoch in the rows' own order.
        process_index: which part of each batch this process reads.
        process_count: number of parts, each `b / process_count` rows.

    Raises:
        DataError: the processes cannot share the batch evenly.

    >>> from specflow.data.source import ArraySource
    >>> plan = BatchPlan(ArraySource(np.arange(5)), 3, shuffle=False)
    >>> plan.rows(1, 2)[0]
    array([[3, 4, 0], [1, 2, 3]])
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        process_index: int = 0,
        process_count: int = 1,
    ):
        self.source = source
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self._share = process_slice(batch_size, process_index, process_count)
        # Two epochs: the end of one and the start of the next often share a batch.
        self._order = functools.lru_cache(maxsize=2)(self._draw_order)

    def epoch(self, step: int) -> int:
        """The epoch, counted from 0, of the first row that a step sees."""
        return step * self.batch_size // len(self.source)

    def row_ids(self, first_step: int, steps: int) -> npt.NDArray[np.int64]:
        """Row numbers "steps b" that this process reads for some consecutive steps."""
        size, b = len(self.source), self.batch_size
        position, stop = first_step * b, (first_step + steps) * b
        parts = []
        while position < stop:
            epoch, offset = divmod(position, size)
            part = self._order(epoch)[offset : offset + stop - position]
            parts.append(part)
            position += len(part)
        return np.concatenate(parts).reshape(steps, b)[:, self._share]

    def rows(self, first_step: int, steps: int) -> tuple[Tree, Tree]:
        """Features and labels of some consecutive steps, each array "steps b ..."."""
        ids = self.row_ids(first_step, steps)

        def stacked(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return array.reshape(*ids.shape, *array.shape[1:])

        features, labels = self.source.take(ids.reshape(-1))
        return map_leaves(stacked, features), map_leaves(stacked, labels)

    def step_bytes(self) -> int:
        """Bytes of this process's rows of one step."""
        rows = self._share.stop - self._share.start
        return rows * sum(
            row.dtype.itemsize * math.prod(row.shape)
            for _, row in named_leaves(*self.source.spec())
        )

    def _draw_order(self, epoch: int) -> npt.NDArray[np.int64]:
        if not self.shuffle:
            return np.arange(len(self.source))
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.source))


def process_slice(batch_size: int, index: int, count: int) -> slice:
    """The part of each global batch that one of `count` processes reads.

    Raises:
        DataError: the count does not divide the batch.

    >>> process_slice(8, 1, 2)
    slice(4, 8, None)
    """
    if batch_size % count:
        raise DataError(
            Fault(
                "batch_size",
                f"{batch_size} rows do not divide over {count} processes",
                expected=f"a multiple of {count}",
                code="batch-divides",
            )
        )
    share = batch_size // count
    return slice(index * share, (index + 1) * share)
