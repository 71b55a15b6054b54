"""Rows of different lengths, and arrays of equal lengths made of them."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Padded", "Ragged", "Rows", "filled", "multi_hot", "padded"]

Rows = npt.NDArray[np.int64]
Padded = dict[str, npt.NDArray[Any]]
"""`ids`: int32 "n k", 0 where there is none; `mask`: bool "n k", True where there is
one; `weights`: float32 "n k", of weighted sets alone."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """Values of rows of different lengths.

    >>> Ragged(np.array([7, 8, 9]), np.array([2, 0, 1])).rows
    array([0, 0, 2])
    """

    values: Any
    """Values row after row, "v": `CodedTexts`, or an array."""
    lengths: Rows
    """Number of values of each row, "n"."""
    weights: npt.NDArray[np.float64] | None = None
    """Weight of each value, "v"; None: 1."""

    @property
    def rows(self) -> Rows:
        """Number of the row of each value, "v"."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def kept(self, keep: npt.NDArray[np.bool_]) -> "Ragged":
        """The values of an array that `keep` marks, "v"."""
        if keep.all():
            return self
        weights = None if self.weights is None else self.weights[keep]
        lengths = np.bincount(self.rows[keep], minlength=len(self.lengths))
        return Ragged(self.values[keep], lengths, weights)

    def first(self, most: int) -> "Ragged":
        """At most the first values of each row of an array."""
        ends = np.cumsum(self.lengths)
        places = np.arange(len(self.values)) - (ends - self.lengths)[self.rows]
        return self.kept(places < most)


def multi_hot(ids: Ragged, size: int) -> npt.NDArray[np.float32]:
    """Number of occurrences of each index, or the sum of its weights, float32 "n size".

    >>> multi_hot(Ragged(np.array([1, 1, 0]), np.array([2, 1])), 2)
    array([[0., 2.],
           [1., 0.]], dtype=float32)
    """
    rows = len(ids.lengths)
    cells = ids.rows * size + ids.values
    counts = np.bincount(cells, weights=ids.weights, minlength=rows * size)
    return counts.astype(np.float32).reshape(rows, size)


def padded(ids: Ragged, length: int) -> Padded:
    """Arrays of the first `length` indices of each row; -1 is masked in its place.

    >>> padded(Ragged(np.array([5, 6, 7]), np.array([1, 2])), 2)["ids"]
    array([[5, 0],
           [6, 7]], dtype=int32)
    """
    shown = ids.first(length)
    mask = np.arange(length) < shown.lengths[:, None]
    arrays: Padded = {"ids": np.zeros(mask.shape, np.int32), "mask": mask}
    arrays["ids"][mask] = np.maximum(shown.values, 0)
    if shown.weights is not None:
        arrays["weights"] = np.zeros(mask.shape, np.float32)
        arrays["weights"][mask] = shown.weights
    mask[mask] = shown.values >= 0
    return arrays


def filled(ids: Ragged, missing: int) -> Ragged:
    """Rows without an index have that of missing values, with a weight of 1.

    >>> filled(Ragged(np.array([5]), np.array([0, 1])), 9).values
    array([9, 5], dtype=int32)
    """
    lengths = np.maximum(ids.lengths, 1)
    places = np.cumsum(lengths) - lengths
    empty = ids.lengths == 0
    if not empty.any():
        return ids
    values = np.full(int(lengths.sum()), missing, np.int32)
    keep = np.ones(len(values), np.bool_)
    keep[places[empty]] = False
    values[keep] = ids.values
    weights = None
    if ids.weights is not None:
        weights = np.ones(len(values))
        weights[keep] = ids.weights
    return Ragged(values, lengths, weights)
