"""Selects predictions, and yields them by row or batch."""

import contextlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import jax

from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest

__all__ = ["chosen", "known_keys", "rows_of"]


def known_keys(
    wanted: str | Sequence[str] | None, predictions: Any
) -> tuple[str, ...] | None:
    """Returns the selected names that are predicted; None for all.

    Raises:
        ConfigError: None of the names is predicted.
    """
    if not wanted:
        return None
    names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    if not isinstance(predictions, Mapping):
        raise ConfigError(
            Diagnostic(
                "predict_keys",
                f"got {', '.join(names)}, but predictions is one array",
                expected="None",
                code="predict-keys",
            )
        )
    known = tuple(name for name in names if name in predictions)
    if not known:
        raise ConfigError(
            Diagnostic(
                "predict_keys",
                f"none of {', '.join(names)} is predicted",
                expected=f"some of {', '.join(predictions)}",
                hint=did_you_mean(nearest(names[0], predictions)),
                code="predict-keys",
            )
        )
    return known


def chosen(predictions: Any, keys: tuple[str, ...] | None) -> Any:
    """Returns the predictions of these names; None: all of them."""
    return predictions if keys is None else {name: predictions[name] for name in keys}


def rows_of(
    batches: Iterator[tuple[Any, int]],
    keys: tuple[str, ...] | None,
    *,
    single: bool,
    source: Generator[Any, None, None],
) -> Iterator[Any]:
    """Yields the rows, or the batches, of the selected predictions.

    Args:
        batches: (predictions, number of rows) of each batch.
        keys: names of the predictions; None: all.
        single: whether an item is a row; False: a batch.
        source: the batches that are predicted for; closed at the end, and by an error.
    """
    with contextlib.closing(source):
        for predictions, rows in batches:
            predictions = chosen(predictions, keys)
            if not single:
                yield predictions
                continue
            for row in range(rows):
                yield jax.tree.map(lambda array, row=row: array[row], predictions)
