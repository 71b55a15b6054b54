"""Training batches in chunks of steps, made by a thread ahead of their use."""

import collections
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, Self

from specflow.data.array_tree import map_leaves
from specflow.data.input_kinds import as_source
from specflow.data.plan import WHOLE, BatchPlan, Share
from specflow.data.stream import Chunk, StreamBatches
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.typing import Tree, describe

__all__ = ["Chunk", "TrainBatches", "TrainInput", "as_train_batches"]

_BLOCK_BYTES = 4 << 20
_BLOCK_STEPS = 1024
"""Maximum steps of one block, rounded to chunks. Handing over a block costs more than
gathering the rows of a small step; with more steps, a tiny data set would be shuffled
thousands of epochs ahead."""
_AHEAD = 2
"""Number of blocks that are made or being made while one is used."""


class TrainInput(Protocol):
    """Training batches as the loop reads them: chunks in order, with their position."""

    def __iter__(self) -> Self: ...

    def __next__(self) -> Chunk:
        """The next chunk. Chunks end at multiples of K, the steps a chunk.

        The first one holds the start step, not always as its first; it, and the last
        one before the data ends, may have fewer than K steps.
        """
        ...

    def state(self, step: int) -> dict[str, Any]:
        """The position before `step`, as JSON, to be saved with a checkpoint."""
        ...

    def part_rows(self, step: int) -> dict[str, int]:
        """Rows of each part of a mixture before `step`; empty if it is none."""
        ...

    def give_back(self, step: int) -> None:
        """Returns batches that were drawn for `step` and later steps.

        An iterator that is passed in again then loses none that were drawn ahead.
        """
        ...

    def close(self) -> None:
        """Stops background work; no chunk follows."""
        ...


class TrainBatches:
    """Chunks of a `BatchPlan`, without an end.

    Chunks are aligned: chunk i holds steps `[i*K, (i+1)*K)` whatever the start, so the
    first one may begin before `start_step`, and the caller enters it in the middle.

    The first chunk is made when it is asked for; a thread makes the others, block by
    block, while devices work on those before.

    Args:
        plan: the batches.
        steps_per_chunk: K.
        start_step: a step of the first chunk.

    >>> import numpy as np
    >>> from specflow.data.source import ArraySource
    >>> plan = BatchPlan(ArraySource(np.arange(5)), 2, shuffle=False)
    >>> chunk = next(TrainBatches(plan, steps_per_chunk=2, start_step=3))
    >>> chunk.first_step, chunk.features
    (2, array([[4, 0], [1, 2]], dtype=int32))
    """

    def __init__(self, plan: BatchPlan, *, steps_per_chunk: int, start_step: int = 0):
        self._plan = plan
        self._steps = steps_per_chunk
        self._next_step = start_step // steps_per_chunk * steps_per_chunk
        steps = min(_BLOCK_BYTES // max(1, plan.step_bytes()), _BLOCK_STEPS)
        block_steps = steps_per_chunk * max(1, steps // steps_per_chunk)
        self._blocks = _BlocksAhead(plan, block_steps)
        self._begun = self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Chunk:
        if self._closed:
            raise StopIteration
        first = self._next_step
        features, labels = (
            self._blocks.steps_from(first, self._steps)
            if self._begun
            else self._plan.rows(first, self._steps)
        )
        self._begun = True
        self._next_step += self._steps
        return Chunk(first, self._steps, features, labels)

    def state(self, step: int) -> dict[str, Any]:
        """The position before `step`, which determines the rest of the stream."""
        return self._plan.place(step)

    def part_rows(self, step: int) -> dict[str, int]:
        """Rows of each part of a mixture before `step`; empty if it is none."""
        return self._plan.part_rows(step)

    def give_back(self, step: int) -> None:
        """Does nothing: rows are drawn by their numbers."""

    def close(self) -> None:
        """Stops the thread; no chunk follows."""
        self._closed = True
        self._blocks.close()


class _BlocksAhead:
    """Blocks of a plan, made by a thread: block i holds steps `[i*s, (i+1)*s)`.

    Args:
        plan: the batches.
        steps: s.
    """

    def __init__(self, plan: BatchPlan, steps: int):
        self._plan, self._steps = plan, steps
        self._held: tuple[int, Tree] = (-1, None)
        # One thread: NumPy gathers batches, which more threads would not speed up.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="specflow-batches")
        self._ahead: collections.deque[tuple[int, Future[Tree]]] = collections.deque()

    def steps_from(self, first: int, steps: int) -> Tree:
        """Features and labels of the steps of one chunk, which lie in one block.

        Chunks are asked for in order.
        """
        number, offset = divmod(first, self._steps)
        if number != self._held[0]:
            self._held = (number, self._made(number))
        return map_leaves(lambda array: array[offset : offset + steps], self._held[1])

    def _made(self, number: int) -> Tree:
        following = self._ahead[-1][0] + 1 if self._ahead else number
        for later in range(following, number + 1 + _AHEAD):
            self._ahead.append((later, self._thread.submit(self._make, later)))
        _, block = self._ahead.popleft()
        return block.result()

    def _make(self, number: int) -> Tree:
        return self._plan.rows(number * self._steps, self._steps)

    def close(self) -> None:
        """Stops the thread after the block that it makes."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def as_train_batches(
    source: Any,
    *,
    batch_size: int,
    steps_per_chunk: int,
    seed: int = 0,
    shuffle: bool = True,
    start_step: int = 0,
    place: Mapping[str, Any] | None = None,
    share: Share = WHOLE,
    batch_rows: int | None = None,
    again: Callable[[], Any] | None = None,
) -> TrainInput:
    """Builds training batches from any value that an `input_fn` may return.

    Args:
        source: a `Source`, arrays as `(features, labels)` or features alone, or
            anything that iterates over batches: a list, a generator, a
            `grain.MapDataset`, `IterDataset` or `DataLoader`. Arrays and sources are
            shuffled, repeated and batched here; batches are used as they are, and may
            end.
        batch_size: rows of a step over all processes. An iterable yields this process's
            own rows; a single process takes its batches as they are, also short ones.
        steps_per_chunk: steps of one device loop.
        seed: seed of the order; sources and arrays only.
        shuffle: use a new order each epoch; sources and arrays only.
        start_step: the step to resume from.
        place: `state(start_step)` of a checkpoint: training resumes after the rows that
            it counts. None: after `start_step` batches.
        share: parts of each batch that this process reads.
        batch_rows: rows of an iterable's batch over all processes, with which an
            iterator with `set_state` knows if its position has batches of this size.
        again: returns the input anew, for an exhausted iterator.

    Raises:
        DataError: the input is none of these, or its arrays break a rule.
    """
    place = place or {}
    rows = as_source(source)
    if rows is not None:
        plan = BatchPlan(
            rows,
            batch_size,
            seed=seed,
            shuffle=shuffle,
            share=share,
            start_step=start_step,
            # Positions of old versions have no rows: assume this batch size.
            start_row=0 if place.get("ended") else place.get("rows"),
            place=place,
        )
        return TrainBatches(
            plan, steps_per_chunk=steps_per_chunk, start_step=start_step
        )
    if not hasattr(source, "__iter__"):
        raise DataError(
            Diagnostic(
                "the input",
                f"is {describe(source)}",
                expected="arrays as (features, labels), or an iterable of such batches",
                code="input-form",
            )
        )
    rows_here = len(share.rows(batch_size))
    return StreamBatches(
        source,
        rows=rows_here if share.of > 1 else None,
        steps_per_chunk=steps_per_chunk,
        start_step=start_step,
        place=place,
        share=share,
        batch_rows=batch_rows,
        again=again,
    )
