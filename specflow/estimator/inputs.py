"""Input functions: how they are asked, and what they may give."""

import copy
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from specflow.errors import DataError, Fault

__all__ = ["InputFn", "ask", "no_rows", "peeked"]

InputFn = Callable[..., Any]
"""() or (params) -> arrays, a source, or an iterable of batches; `(features, labels)`
or features alone. `params["batch_size"]` is the batch of this process."""


def ask(input_fn: InputFn, params: Mapping[str, Any]) -> Any:
    """What the function gives; it may take `params`."""
    parameters = inspect.signature(input_fn).parameters
    if "params" in parameters:
        return input_fn(params=dict(params))
    # One with a default is the function's own affair: `lambda rows=rows: ...`.
    demanded = (p for p in parameters.values() if p.default is p.empty)
    if any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in demanded):
        return input_fn(dict(params))
    return input_fn()


def no_rows(split: str) -> DataError:
    """The error of an input without rows."""
    return DataError(
        Fault("data", f"the {split} input has no rows", code="data-empty",
              expected="at least one row")
    )  # fmt: skip


def peeked(batches: Iterable[Any]) -> tuple[list[Any], Iterable[Any]]:
    """The first batch, if there is one, and what still gives all of them."""
    iterator = iter(batches)
    if iterator is not batches:  # It can be iterated over again.
        return list(itertools.islice(iterator, 1)), batches
    if hasattr(iterator, "get_state"):
        place = copy.deepcopy(iterator.get_state())  # type: ignore[attr-defined]
        first = list(itertools.islice(iterator, 1))
        iterator.set_state(place)  # type: ignore[attr-defined]
        return first, iterator
    first = list(itertools.islice(iterator, 1))

    def all_of_them() -> Iterator[Any]:
        yield from first
        yield from iterator

    return first, all_of_them()
