"""Input functions: their call, and the forms of their results."""

import copy
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import jax

from specflow.data import (
    WHOLE,
    Share,
    Source,
    TrackedIterator,
    as_source,
    as_train_batches,
)
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.executor import array_types
from specflow.runtime.typing import is_array, leaves

__all__ = [
    "BatchForm",
    "InputFn",
    "ask",
    "is_empty",
    "no_rows",
    "peeked",
    "source_form",
    "train_form",
]

BatchForm: TypeAlias = array_types.Batch
"""Shapes and dtypes of a global batch: (features, labels), as `ShapeDtypeStruct`s."""

InputFn = Callable[..., Any]
"""() or (params) -> arrays, a source, or an iterable of batches; `(features, labels)`
or features alone. `params["batch_size"]` is the batch size of this process."""


def ask(input_fn: InputFn, params: Mapping[str, Any]) -> Any:
    """Calls an input function, with `params` if it takes them."""
    parameters = inspect.signature(input_fn).parameters
    if "params" in parameters:
        return input_fn(params=dict(params))
    # An argument with a default is bound by the user: `lambda rows=rows: ...`.
    required = (p for p in parameters.values() if p.default is p.empty)
    if any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in required):
        return input_fn(dict(params))
    return input_fn()


def is_empty(value: Any) -> bool:
    """Returns True if an input is arrays without rows.

    >>> import numpy as np
    >>> is_empty({"x": np.zeros([0, 3])}), is_empty(np.zeros(3)), is_empty([])
    (True, False, False)
    """
    pair = isinstance(value, tuple) and len(value) == 2
    features = value[0] if pair else value
    if not (isinstance(features, Mapping) or is_array(features)):
        return False
    arrays = [leaf for _, leaf in leaves(features) if is_array(leaf)]
    return bool(arrays) and all(array.shape[:1] == (0,) for array in arrays)


def no_rows(split: str) -> DataError:
    """Returns the error of an input without rows."""
    return DataError(
        Diagnostic(
            "data",
            f"the {split} input has no rows",
            code="data-empty",
            expected="at least one row",
        )
    )


def peeked(batches: Iterable[Any]) -> tuple[list[Any], Iterable[Any]]:
    """Returns the first batch, if any, and an iterable that still has all batches."""
    iterator = iter(batches)
    if iterator is not batches:  # It can be iterated again.
        return list(itertools.islice(iterator, 1)), batches
    if hasattr(iterator, "get_state"):
        place = copy.deepcopy(iterator.get_state())  # type: ignore[attr-defined]
        first = list(itertools.islice(iterator, 1))
        iterator.set_state(place)  # type: ignore[attr-defined]
        return first, iterator
    first = list(itertools.islice(iterator, 1))
    if isinstance(iterator, TrackedIterator):
        iterator.put_back(first)
        return first, iterator

    def all_batches() -> Iterator[Any]:
        yield from first
        yield from iterator

    return first, all_batches()


def source_form(source: Source, rows: int) -> BatchForm:
    """Returns shapes and dtypes of a batch of a source: (features, labels)."""
    return jax.tree.map(
        lambda row: jax.ShapeDtypeStruct((rows, *row.shape), row.dtype), source.spec()
    )


def train_form(value: Any, rows: int, share: Share = WHOLE) -> tuple[BatchForm, Any]:
    """Returns the form of a training batch, and an input that still has all batches.

    The form of a generator is that of its first batch, which it yields only once.

    Args:
        value: the input.
        rows: rows of a batch, over all processes.
        share: parts of each batch that this process reads.

    Raises:
        DataError: the input has no batch.
    """
    source = as_source(value)
    if source is not None:
        return source_form(source, rows), value
    probe = value
    if hasattr(value, "__iter__"):
        probe, value = peeked(value)
    batches = as_train_batches(probe, batch_size=rows, steps_per_chunk=1, share=share)
    chunk = next(batches, None)
    if chunk is None:
        raise no_rows("training")
    parts, local_parts = share.of, len(share.parts)
    form = jax.tree.map(
        lambda rows: jax.ShapeDtypeStruct(
            (rows.shape[1] // local_parts * parts, *rows.shape[2:]), rows.dtype
        ),
        (chunk.features, chunk.labels),
    )
    return form, value
