"""Training batches of a user's iterable, in chunks of steps."""

import base64
import dataclasses
import json
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import numpy as np

from specflow.data.array_tree import map_leaves, named_leaves
from specflow.data.input_kinds import as_batch
from specflow.data.plan import WHOLE, Share
from specflow.data.reused_iterators import TrackedIterator, track_iterator
from specflow.diagnostics.errors import DataError, Diagnostic, SpecflowWarning
from specflow.runtime.typing import Tree, describe

__all__ = ["Chunk", "StreamBatches"]

_KEPT_CHUNKS = 4
"""Number of chunks with a known position: the loop draws ahead of training."""


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """Stacked batches of consecutive steps."""

    first_step: int
    """Step of the first batch."""
    steps: int
    """K, the number of batches."""
    features: Tree
    """Arrays "K b ...", with a leading axis of steps."""
    labels: Tree
    """Likewise, or None."""


class StreamBatches:
    """Chunks of the batches of an iterable, until it ends.

    Chunks end at multiples of K, and before a batch of another shape, such as a short
    last one.

    A position counts rows and batches since the input began. An iterator with
    `get_state` and `set_state`, such as Grain's, is set to its position; any other is
    advanced past the rows that were read, and a batch that is partly read is divided.
    An input that was read to its end starts again. A `TrackedIterator` that is passed
    in again continues from its position.

    Args:
        batches: yields `(features, labels)`, or features alone; always the same arrays.
        rows: of each batch; None: any number, which a single process accepts.
        steps_per_chunk: K.
        start_step: first step to draw.
        place: an earlier `state(start_step)`; empty: after `start_step` batches.
        share: parts of each batch that this process reads.
        batch_rows: rows of a batch over all processes, if known.
        again: returns the input anew, for an exhausted iterator.

    Raises:
        DataError: `place` belongs to another step, or to an iterator with `set_state`,
            which this one lacks, or is inside a batch that several processes share.

    >>> batches = (np.full(2, step) for step in range(5))
    >>> for chunk in StreamBatches(
    ...     batches, rows=2, steps_per_chunk=2, start_step=1
    ... ):
    ...     print(chunk.first_step, chunk.features.tolist())
    1 [[1, 1]]
    2 [[2, 2], [3, 3]]
    4 [[4, 4]]
    """

    def __init__(
        self,
        batches: Iterable[Any],
        *,
        rows: int | None = None,
        steps_per_chunk: int,
        start_step: int = 0,
        place: Mapping[str, Any] | None = None,
        share: Share = WHOLE,
        batch_rows: int | None = None,
        again: Callable[[], Any] | None = None,
    ):
        self._iterator = iter(batches)
        self._is_own = self._iterator is not batches
        self._again = (lambda: batches) if self._is_own else again
        self._rows = rows
        self._steps = steps_per_chunk
        self._share, self._batch_rows = share, batch_rows
        self._next_step = start_step
        self._done = self._ended = False
        self._first: dict[str, np.ndarray] = {}
        self._held: tuple[Tree, Tree] | None = None
        self._chunk: Chunk | None = None
        self._passed = (0, 0)
        self._places: dict[int, dict[str, Any]] = {}
        self._begin(start_step, place or {})

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Chunk:
        first, steps, stack, shapes = self._next_step, 0, (None, None), None
        while (batch := self._drawn()) is not None:
            # Copied before the next one is drawn: the iterable may reuse the memory of
            # a batch.
            if shapes is None:
                shapes = _shapes(batch)
                stack = _room_for(batch, self._steps - first % self._steps)
            elif _shapes(batch) != shapes:
                self._held = map_leaves(np.array, batch)
                break
            map_leaves(
                lambda place, rows, at=steps: _fill(place, at, rows), stack, batch
            )
            steps += 1
            self._count(batch)
            self._next_step += 1
            if self._next_step % self._steps == 0:
                break
        if shapes is None:
            raise StopIteration
        features, labels = map_leaves(lambda place: place[:steps], stack)
        self._chunk = Chunk(first, steps, features, labels)
        return self._chunk

    def state(self, step: int) -> dict[str, Any]:
        """The position before `step`, which is in one of the last chunks, or next."""
        if step not in self._places:
            self._remember_place(self._next_step)
        place = {"next_step": step, **self._places[step]}
        if self._ended and self._held is None and step == self._next_step:
            place["ended"] = True
        return place

    def part_rows(self, step: int) -> dict[str, int]:
        """Empty: batches of an iterable have no parts."""
        return {}

    def give_back(self, step: int) -> None:
        """Returns batches that were drawn for `step` and later steps."""
        place = self._places.get(step, {})
        if isinstance(self._iterator, TrackedIterator):
            drawn = []
            if self._chunk is not None and step < self._next_step:
                drawn = _batches_from(self._chunk, step - self._chunk.first_step)
            if self._held is not None:
                drawn.append(self._held)
            self._iterator.put_back(drawn)
            if place:
                self._passed = place["batches"], place["rows"]
        elif "iterator" in place and hasattr(self._iterator, "set_state"):
            self._iterator.set_state(_decoded(place["iterator"]))  # type: ignore[attr-defined]
        self._done, self._held = True, None

    def close(self) -> None:
        """Closes the iterator if it was made here; no chunk follows."""
        if not self._done and self._held is None:
            self._remember_place(self._next_step)
        self._done, self._held = True, None
        if isinstance(self._iterator, TrackedIterator):
            self._iterator.keep(*self._passed, ended=self._ended)
        if self._is_own and hasattr(self._iterator, "close"):
            self._iterator.close()  # type: ignore[attr-defined]

    def _drawn(self) -> tuple[Tree, Tree] | None:
        """The batch of the next step; None after the last one."""
        if self._held is not None:
            batch, self._held = self._held, None
            return batch
        if self._done:
            return None
        self._remember_place(self._next_step)
        try:
            value = next(self._iterator)
        except StopIteration:
            self._done = self._ended = True
            return None
        return self._checked(value, self._next_step)

    def _begin(self, start_step: int, place: Mapping[str, Any]) -> None:
        """Sets the iterator to the position from which it resumes."""
        where = place.get("next_step", start_step)
        if where != start_step:
            raise DataError(
                Diagnostic(
                    "place",
                    f"is that of step {where}",
                    expected=f"step {start_step}",
                    code="data-place",
                )
            )
        iterator = self._iterator
        if isinstance(iterator, TrackedIterator) and iterator.consumed is not None:
            self._passed = iterator.consumed
            # Rows are lost only after a checkpoint.
            seen = 0 if place.get("ended") else place.get("rows", 0)
            if 0 < seen < self._passed[1]:
                _warn_of_lost(self._passed[1] - seen)
            return
        batches, rows = place.get("batches", start_step), place.get("rows")
        if place.get("ended") or not (batches or rows):
            return
        if "iterator" in place and not self._is_of_other_batches(place):
            if not hasattr(iterator, "set_state"):
                raise DataError(
                    Diagnostic(
                        "the input",
                        f"is a {_type_name(iterator)}, which has no set_state",
                        expected="the kind of iterator that the checkpoint was of",
                        code="data-place",
                    )
                )
            iterator.set_state(_decoded(place["iterator"]))  # type: ignore[attr-defined]
            self._passed = batches, rows or 0
        else:
            self._wind(batches, rows)
        self._held = self._held or self._drawn()
        if self._held is None:
            self._start_anew()

    def _is_of_other_batches(self, place: Mapping[str, Any]) -> bool:
        """Returns True if a position counts batches of another size."""
        former = place.get("batch_rows")
        return None not in (former, self._batch_rows) and former != self._batch_rows

    def _wind(self, batches: int, rows: int | None) -> None:
        """Advances past rows that were read, over all processes, or past batches."""
        seen = 0
        while self._passed[1] < rows if rows is not None else seen < batches:
            try:
                value = next(self._iterator)
            except StopIteration:
                self._done = self._ended = True
                _warn_of_less(seen, self._passed[1], batches)
                return
            batch = self._checked(value, seen)
            seen += 1
            excess = 0 if rows is None else self._over(batch) + self._passed[1] - rows
            if excess > 0:
                self._divide(batch, excess)
                return
            self._count(batch)

    def _divide(self, batch: tuple[Tree, Tree], excess: int) -> None:
        """Keeps the last rows of a batch, which were not read yet."""
        rows, whole = _rows_of(batch), self._over(batch)
        if self._rows is not None:
            raise DataError(
                Diagnostic(
                    "the input",
                    f"{whole - excess} of the {whole} rows of its next batch were seen",
                    expected="a place between batches, which several processes share",
                    hint="Train with a batch size that divides the rows that were "
                    "seen, or RunConfig(resume_input='restart').",
                    code="data-place",
                )
            )
        self._passed = (self._passed[0], self._passed[1] + whole - excess)
        # Without the iterator's own position, which is after the entire batch.
        self._places[self._next_step] = self._counts()
        unseen = operator.itemgetter(slice(rows - excess, None))
        features, labels = batch
        self._held = map_leaves(unseen, features), map_leaves(unseen, labels)

    def _start_anew(self) -> None:
        """Starts the input again after its end."""
        self._passed = (0, 0)
        self._places.clear()
        if self._again is None:
            return
        value = track_iterator(self._again())
        self._iterator = iter(value)
        self._is_own = self._iterator is not value
        self._done = self._ended = False

    def _over(self, batch: tuple[Tree, Tree]) -> int:
        """Returns the rows of a batch over all processes."""
        return _rows_of(batch) * self._share.of // len(self._share.parts)

    def _count(self, batch: tuple[Tree, Tree]) -> None:
        self._passed = self._passed[0] + 1, self._passed[1] + self._over(batch)

    def _counts(self) -> dict[str, Any]:
        batches, rows = self._passed
        counts = {"batches": batches, "rows": rows}
        if self._batch_rows is not None:
            counts["batch_rows"] = self._batch_rows
        return counts

    def _remember_place(self, step: int) -> None:
        place = self._counts()
        if hasattr(self._iterator, "get_state"):
            place["iterator"] = _encoded(self._iterator.get_state())  # type: ignore[attr-defined]
        self._places[step] = place
        self._places.pop(step - _KEPT_CHUNKS * self._steps, None)

    def _checked(self, value: Any, step: int) -> tuple[Tree, Tree]:
        where = f"batch of step {step}"
        features, labels, rows = as_batch(value, where=where)
        arrays = dict(named_leaves(features, labels))
        first = self._first = self._first or arrays
        if self._rows not in (None, rows):
            raise DataError(
                Diagnostic(
                    where,
                    f"has {rows} rows",
                    expected=f"{self._rows} rows: processes share each batch evenly",
                    hint="Drop a short last batch, or repeat the data before batching.",
                    code="batch-shape",
                )
            )
        diagnostics = [
            Diagnostic(
                f"{where}, {path}",
                f"is {describe(arrays[path]) if path in arrays else 'missing'}",
                expected=f"{describe(first[path])}, but for its sizes, as in the first "
                "batch"
                if path in first
                else "no such array, as in the first batch",
                code="batch-shape",
            )
            for path in sorted(arrays.keys() | first.keys())
            if _kind(arrays.get(path)) != _kind(first.get(path))
        ]
        if diagnostics:
            raise DataError(*diagnostics)
        return features, labels


def _shapes(batch: tuple[Tree, Tree]) -> list[tuple[int, ...]]:
    return [array.shape for _, array in named_leaves(*batch)]


def _warn_of_lost(rows: int) -> None:
    warnings.warn(
        SpecflowWarning(
            Diagnostic(
                "the input",
                f"is an iterator that has given {rows} rows that training has not seen "
                "up to its checkpoint, and that cannot be put back: they are skipped",
                hint="Let input_fn make a new one, or give it get_state and set_state.",
                code="input-passed",
            )
        ),
        stacklevel=2,
    )


def _warn_of_less(there: int, rows: int, batches: int) -> None:
    warnings.warn(
        SpecflowWarning(
            Diagnostic(
                "the input",
                f"ended after {there} batches ({rows} rows), and {batches} batches "
                "were seen of it",
                hint="It begins anew; RunConfig(resume_input='restart') begins it anew "
                "in every call.",
                code="input-ended",
            )
        ),
        stacklevel=2,
    )


def _rows_of(batch: tuple[Tree, Tree]) -> int:
    return len(named_leaves(*batch)[0][1])


def _batches_from(chunk: Chunk, offset: int) -> list[tuple[Tree, Tree]]:
    """Copies the last batches of a chunk."""
    return [
        (
            map_leaves(lambda a: a[index].copy(), chunk.features),  # noqa: B023
            map_leaves(lambda a: a[index].copy(), chunk.labels),  # noqa: B023
        )
        for index in range(offset, chunk.steps)
    ]


def _type_name(iterator: Any) -> str:
    value = iterator.iterator if isinstance(iterator, TrackedIterator) else iterator
    return type(value).__name__


def _kind(array: np.ndarray | None) -> Any:
    return None if array is None else (array.dtype, array.ndim)


def _room_for(batch: tuple[Tree, Tree], steps: int) -> tuple[Tree, Tree]:
    """Allocates arrays for several batches; memory is committed when it is filled."""
    return map_leaves(lambda rows: np.empty((steps, *rows.shape), rows.dtype), batch)


def _fill(place: np.ndarray, at: int, rows: np.ndarray) -> None:
    place[at] = rows


def _encoded(state: Any) -> Any:
    """Copies an iterator's state as JSON: some iterators change it in place."""
    if isinstance(state, bytes):
        return {"base64": base64.b64encode(state).decode()}
    try:
        return json.loads(json.dumps(state))
    except (TypeError, ValueError) as error:
        raise DataError(
            Diagnostic(
                "the input",
                f"get_state() gave something that JSON cannot hold: {error}",
                expected="bytes, or numbers, texts, lists and dicts",
                code="data-place",
            )
        ) from error


def _decoded(state: Any) -> Any:
    if isinstance(state, Mapping) and set(state) == {"base64"}:
        return base64.b64decode(state["base64"])
    return state
