"""One-hot features of indices."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["one_hot"]


def one_hot(
    places: npt.NDArray[np.integer[Any]],
    size: int,
    *,
    out: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """One-hot features of indices, float32 "n size"; zeros for a negative index.

    Args:
        places: the indices, "n".
        size: number of features.
        out: zeros that become the features; None: a new array.

    >>> one_hot(np.array([1, -1]), 2)
    array([[0., 1.],
           [0., 0.]], dtype=float32)
    """
    features = np.zeros((len(places), size), np.float32) if out is None else out
    rows = np.flatnonzero(places >= 0)
    features[rows, places[rows]] = 1.0
    return features
