"""Embeddings that a model makes of a column's indices."""

import dataclasses
from typing import Literal, TypeAlias

__all__ = ["Combiner", "Embedding", "default_size"]

Combiner: TypeAlias = Literal["sum", "mean", "sqrtn"]


@dataclasses.dataclass(frozen=True, slots=True)
class Embedding:
    """Table of vectors for the indices of a column.

    >>> Embedding(81, default_size(81)).size
    3
    """

    rows: int
    """Number of indices."""
    size: int
    """Size of a vector."""
    combiner: Combiner = "mean"
    """Reduction of the vectors of several indices a row: their weighted sum, that over
    the sum of the weights, or over the root of the sum of their squares."""
    max_norm: float | None = None
    """Largest Euclidean norm of a vector; longer ones are scaled. None: unbounded."""
    shared: str | None = None
    """Name of a table that several columns share; None: a table of its own."""


def default_size(rows: int) -> int:
    """Size of a vector for this number of indices: their fourth root."""
    return max(1, round(rows**0.25))
