"""Training batches that a user's own iterable gives, in chunks of steps."""

import base64
import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np

from specflow.data.form import as_batch
from specflow.data.tree import map_leaves, named_leaves
from specflow.errors import DataError, Fault
from specflow.typing import Tree, describe

__all__ = ["Chunk", "StreamBatches"]

_KEPT_CHUNKS = 4
"""Chunks whose places are remembered: the loop draws ahead of what it has trained."""


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """The batches of some consecutive steps, stacked."""

    first_step: int
    """The step that the first batch is for."""
    steps: int
    """K, the number of batches."""
    features: Tree
    """Arrays "K b ...": each batch's rows behind a leading axis of steps."""
    labels: Tree
    """The same, or None."""


class StreamBatches:
    """Chunks of the batches that an iterable gives, as long as it gives any.

    Chunks end at multiples of K, and where batches take another shape, such as that of
    a short last one: what is stacked is of one shape. An iterator with `get_state` and
    `set_state`, such as Grain's, is put back to its place; any other is wound forward.

    Args:
        batches: gives `(features, labels)`, or features alone; always the same arrays.
        rows: what each batch has; None: any number, as one process may have it.
        steps_per_chunk: K.
        start_step: the first step drawn.
        place: what `state(start_step)` gave before.

    Raises:
        DataError: `place` belongs to another step, or to an iterator with a place of
            its own, which this one does not have.

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
    ):
        self._iterator = iter(batches)
        self._rows = rows
        self._steps = steps_per_chunk
        self._next_step = start_step
        self._done = False
        self._first: dict[str, np.ndarray] = {}
        self._held: tuple[Tree, Tree] | None = None
        self._places: dict[int, Any] = {}
        self._wind_to(start_step, place or {})

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Chunk:
        first = self._next_step
        batches: list[tuple[Tree, Tree]] = []
        while (batch := self._drawn()) is not None:
            if batches and _shapes(batch) != _shapes(batches[0]):
                self._held = batch
                break
            batches.append(batch)
            self._next_step += 1
            if self._next_step % self._steps == 0:
                break
        if not batches:
            raise StopIteration
        features, labels = (
            map_leaves(_stack, *peers) for peers in zip(*batches, strict=True)
        )
        return Chunk(first, len(batches), features, labels)

    def state(self, step: int) -> dict[str, Any]:
        """The place before `step`, which is one of the last chunks' or the next one."""
        if not hasattr(self._iterator, "get_state"):
            return {"next_step": step}
        if step not in self._places:
            self._remember_place(self._next_step)
        return {"next_step": step, "iterator": self._places[step]}

    def close(self) -> None:
        """Closes the iterator, if it can be closed; no chunk follows."""
        if not self._done and self._held is None:
            self._remember_place(self._next_step)
        self._done, self._held = True, None
        if hasattr(self._iterator, "close"):
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
            self._done = True
            return None
        return self._checked(value, self._next_step)

    def _wind_to(self, start_step: int, place: Mapping[str, Any]) -> None:
        where = place.get("next_step", start_step)
        if where != start_step:
            raise DataError(
                Fault(
                    "place",
                    f"is that of step {where}",
                    expected=f"step {start_step}",
                    code="data-place",
                )
            )
        if "iterator" in place:
            if not hasattr(self._iterator, "set_state"):
                raise DataError(
                    Fault(
                        "the input",
                        f"is a {type(self._iterator).__name__}, which has no set_state",
                        expected="the kind of iterator that the checkpoint was of",
                        code="data-place",
                    )
                )
            self._iterator.set_state(_decoded(place["iterator"]))  # type: ignore[attr-defined]
            return
        for _, _ in zip(range(start_step), self._iterator, strict=False):
            pass

    def _remember_place(self, step: int) -> None:
        if hasattr(self._iterator, "get_state"):
            self._places[step] = _encoded(self._iterator.get_state())  # type: ignore[attr-defined]
            self._places.pop(step - _KEPT_CHUNKS * self._steps, None)

    def _checked(self, value: Any, step: int) -> tuple[Tree, Tree]:
        where = f"batch of step {step}"
        features, labels, rows = as_batch(value, where=where)
        arrays = dict(named_leaves(features, labels))
        first = self._first = self._first or arrays
        if self._rows not in (None, rows):
            raise DataError(
                Fault(
                    where,
                    f"has {rows} rows",
                    expected=f"{self._rows} rows: processes share each batch evenly",
                    mend="Drop a short last batch, or repeat the data before batching.",
                    code="batch-shape",
                )
            )
        faults = [
            Fault(
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
        if faults:
            raise DataError(*faults)
        return features, labels


def _shapes(batch: tuple[Tree, Tree]) -> list[tuple[int, ...]]:
    return [array.shape for _, array in named_leaves(*batch)]


def _kind(array: np.ndarray | None) -> Any:
    return None if array is None else (array.dtype, array.ndim)


def _stack(*arrays: np.ndarray) -> np.ndarray:
    return np.stack(arrays)


def _encoded(state: Any) -> Any:
    """An iterator's state as JSON, and a copy: some iterators change it in place."""
    if isinstance(state, bytes):
        return {"base64": base64.b64encode(state).decode()}
    try:
        return json.loads(json.dumps(state))
    except (TypeError, ValueError) as error:
        raise DataError(
            Fault(
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
