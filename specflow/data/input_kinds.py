"""Kinds of inputs: arrays, a source, or an iterable of batches."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from specflow.data.array_tree import batch_rows, map_leaves
from specflow.data.narrowing import checked_batch
from specflow.data.source import ArraySource, Source
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.typing import Tree, describe, is_array

__all__ = ["as_batch", "as_source"]


def as_source(value: Any, *, origin: str = "", finite: bool = False) -> Source | None:
    """Returns an input with random access, a source or arrays, as a source.

    Args:
        value: a `Source`; `(features, labels)` as a tuple; or features alone, an array
            or a dict of arrays.
        origin: file or split of the value, for messages.
        finite: raise for NaN or infinity. A user's program may use them deliberately,
            and the loss is checked in any case.

    Returns:
        None for anything else, such as an iterable of batches.

    Raises:
        DataError: a tuple does not have two elements, or the arrays break a rule of
            `ArraySource`.

    >>> len(as_source(({"x": np.zeros((5, 2))}, np.zeros(5))))
    5
    >>> as_source(iter([])) is None
    True
    """
    if isinstance(value, Source):
        return value
    if isinstance(value, tuple):
        pair = _pair(value, "the input")
        return ArraySource(*pair, origin=origin, finite=finite)
    if isinstance(value, Mapping) or is_array(value):
        return ArraySource(value, origin=origin, finite=finite)
    return None


def as_batch(value: Any, *, where: str) -> tuple[Tree, Tree, int]:
    """Returns features, labels and number of rows of one batch of an iterable.

    Args:
        value: `(features, labels)`, or features alone: an array or a dict of arrays.
        where: names the batch in messages, such as `batch of step 7`.

    Raises:
        DataError: another form, arrays with different numbers of rows, or a number that
            32 bits cannot hold.
    """
    if isinstance(value, tuple | list):
        features, labels = _pair(value, where)
    elif isinstance(value, Mapping) or is_array(value):
        features, labels = value, None
    else:
        raise DataError(
            Diagnostic(
                where,
                f"is {describe(value)}",
                expected="(features, labels)",
                code="input-form",
            )
        )
    features, labels = map_leaves(np.asarray, features), map_leaves(np.asarray, labels)
    rows = batch_rows(features, labels)
    if len(set(rows.values())) != 1 or None in rows.values():
        counts = ", ".join(
            f"{path} {'is a scalar' if count is None else f'has {count}'}"
            for path, count in rows.items()
        )
        raise DataError(
            Diagnostic(
                where,
                f"arrays differ in rows: {counts}" if rows else "holds no array",
                expected="the same number of rows in each array",
                code="row-count",
            )
        )
    features, labels = checked_batch(features, labels, where=where)
    return features, labels, next(iter(rows.values())) or 0


def _pair(value: tuple[Any, ...] | list[Any], where: str) -> tuple[Tree, Tree]:
    if len(value) != 2:
        raise DataError(
            Diagnostic(
                where,
                f"is a {type(value).__name__} of {len(value)}",
                expected="(features, labels)",
                code="input-form",
            )
        )
    return value[0], value[1]
