"""Batches for evaluation and prediction: every row once, in order, one static shape."""

import dataclasses
import itertools
import operator
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.data.array_tree import map_leaves
from specflow.data.input_kinds import as_batch, as_source
from specflow.data.narrowing import checked_batch
from specflow.data.plan import WHOLE, Share
from specflow.data.source import ArraySource, Source
from specflow.diagnostics.errors import DataError, Diagnostic, SpecflowWarning
from specflow.runtime.typing import Tree, describe

__all__ = ["Batch", "EvalBatches"]


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """One evaluation batch of this process."""

    features: Tree
    labels: Tree
    mask: npt.NDArray[np.bool_]
    """True for real rows, False for padding, which always comes last; bool "b"."""
    rows: int
    """The number of real rows."""


class EvalBatches:
    """Evaluation batches: every row exactly once, in order.

    Padding repeats the last real row. Zeros may be invalid input for the model (a
    length of 0, the logarithm of 0): their NaN would be masked in the forward pass, yet
    fail any check for NaN.

    Args:
        data: a `Source`; arrays as `(features, labels)` or features alone; or an
            iterable of batches. Short batches are padded; long ones are divided, with a
            warning.
        batch_size: b, rows of a batch over all processes.
        limit: number of batches to read, for an iterable those that it yields, divided
            or not; None: to the end of the data.
        padded: True: the last batch is padded to b. False: it has its own size, and an
            iterable's batches stay as they are.
        share: parts of each batch that this process reads. Every process yields the
            same number of batches of a source, some all padding if necessary. An
            iterable yields this process's own rows.
        skip: number of first batches to leave out; those of a source are not read.

    Raises:
        DataError: the input is none of these, or its arrays break a rule.

    >>> for batch in EvalBatches((np.arange(5), None), 3):
    ...     print(batch.features, batch.mask, batch.rows)
    [0 1 2] [ True  True  True] 3
    [3 4 4] [ True  True False] 2
    """

    def __init__(
        self,
        data: Any,
        batch_size: int,
        *,
        limit: int | None = None,
        padded: bool = True,
        share: Share = WHOLE,
        skip: int = 0,
    ):
        if not padded and share.of > 1:
            raise DataError(
                Diagnostic(
                    "evaluation",
                    f"several processes share each batch, in {share.of} parts",
                    expected="one process, or batches of one size",
                    hint="Let model_fn take `mask`, so that batches can be padded.",
                    code="batch-divides",
                )
            )
        self._source = as_source(data)
        if self._source is None and not hasattr(data, "__iter__"):
            raise DataError(
                Diagnostic(
                    "the input",
                    f"is {describe(data)}",
                    expected="arrays as (features, labels), or an iterable of batches",
                    code="input-form",
                )
            )
        self._data = data
        self._batch_size = batch_size
        self._rows = share.rows(batch_size)
        self._limit = limit
        self._padded = padded
        self._skip = skip

    @property
    def count(self) -> int | None:
        """Number of batches; None for an iterable of unknown length."""
        if self._source is None:
            return self._limit
        whole = -(-len(self._source) // self._batch_size)
        return whole if self._limit is None else min(whole, self._limit)

    def __iter__(self) -> Iterator[Batch]:
        if self._source is not None:
            return self._from_source(self._source)
        return itertools.islice(self._from_iterable(self._data), self._skip, None)

    def _from_source(self, source: Source) -> Iterator[Batch]:
        size = len(source)
        firsts = range(0, size, self._batch_size)
        for first in itertools.islice(firsts, self._skip, self._limit):
            places = self._rows + first
            real = int(np.searchsorted(places, size))
            if not self._padded:
                places = places[:real]
            start, stop = int(places[0]), int(places[-1]) + 1
            # Consecutive rows are views, not copies.
            rows = (
                slice(start, stop)
                if stop - start == len(places) and stop <= size
                else np.minimum(places, size - 1)
            )
            where = f"evaluation batch {first // self._batch_size}"
            taken = source.take(rows)
            if not isinstance(source, ArraySource):
                # It may reuse the memory of these rows for the next ones.
                taken = map_leaves(np.array, taken)
            taken = checked_batch(*taken, where=where)
            yield Batch(*taken, places < size, real)

    def _from_iterable(self, data: Iterable[Any]) -> Iterator[Batch]:
        size = len(self._rows)
        told = False
        for number, value in enumerate(itertools.islice(data, self._limit)):
            features, labels, rows = as_batch(value, where=f"evaluation batch {number}")
            if not self._padded:
                # Copied: the iterable may reuse the memory of a batch for the next.
                x, y = map_leaves(np.array, (features, labels))
                yield Batch(x, y, np.ones(rows, np.bool_), rows)
                continue
            if rows > size and not told:
                told = True
                _warn_of_parts(number, rows, size)
            for start in range(0, rows, size):
                real = min(size, rows - start)
                part = np.minimum(np.arange(start, start + size), rows - 1)
                x, y = map_leaves(operator.itemgetter(part), (features, labels))
                yield Batch(x, y, np.arange(size) < real, real)


def _warn_of_parts(number: int, rows: int, size: int) -> None:
    warnings.warn(
        SpecflowWarning(
            Diagnostic(
                f"evaluation batch {number}",
                f"has {rows} rows, and is divided into batches of {size}, the batch "
                "size",
                hint="Results are the same; hooks and whole batches of predictions go "
                "by the parts. Give that batch size to the estimator.",
                code="batch-divided",
            )
        ),
        stacklevel=2,
    )
