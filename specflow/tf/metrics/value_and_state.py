"""Conventions of `tf.metrics`: (value, state) pairs, broadcasting of weights."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np
from jaxtyping import Num
from numpy.typing import ArrayLike, NDArray

from specflow.diagnostics.errors import DataError
from specflow.metrics.metric import Metric
from specflow.metrics.metric_rows import rows

__all__ = ["aligned", "broadcast", "pair"]

P = ParamSpec("P")
AnyMetric = TypeVar("AnyMetric", bound=Metric)


def pair(function: Callable[P, AnyMetric]) -> Callable[P, tuple[Any, AnyMetric]]:
    """Decorates a function that returns a state: returns (value of this batch, state).

    Errors of the batch name the function.

    >>> from specflow.metrics.means import Mean
    >>> @pair
    ... def mean(values):
    ...     return Mean.from_batch(values)
    >>> value, state = mean(np.array([1.0, 2.0]))
    >>> value, state.merge(mean(np.array([6.0]))[1]).compute()
    (1.5, 3.0)
    """

    @functools.wraps(function)
    def paired(*args: P.args, **kwargs: P.kwargs) -> tuple[Any, AnyMetric]:
        try:
            state = function(*args, **kwargs)
        except DataError as error:
            name = function.__name__
            diagnostics = [
                dataclasses.replace(diagnostic, where=name)
                for diagnostic in error.diagnostics
            ]
            raise DataError(*diagnostics) from error
        return state.compute(), state

    return paired


def aligned(weights: ArrayLike | None, **tensors: ArrayLike) -> tuple[Any, ...]:
    """Aligns tensors to one shape; returns them and the broadcast weights.

    A last axis of size 1 that other tensors lack is squeezed.

    Raises:
        DataError: shapes differ otherwise, or a tensor is not numeric.

    >>> aligned(2.0, labels=np.zeros([2, 1]), predictions=np.ones(2))
    (array([0., 0.]), array([1., 1.]), array([2., 2.]))
    """
    arrays = {name: np.asarray(tensor) for name, tensor in tensors.items()}
    rank = min(array.ndim for array in arrays.values())
    for name, array in arrays.items():
        if array.ndim == rank + 1 and array.shape[-1] == 1:
            arrays[name] = array[..., 0]
    # Compares the shapes, and rejects scalars and tensors that are not numeric.
    rows("", arrays, None)
    first, *_ = arrays.values()
    return (*arrays.values(), broadcast(weights, first.shape))


def broadcast(
    weights: ArrayLike | None, shape: tuple[int, ...]
) -> Num[NDArray, "..."] | None:
    """Broadcasts weights to a shape: a scalar, or the same rank with axes of size 1.

    The last axis may be missing, or there may be one more of size 1. Weights of any
    other shape are returned unchanged, and rejected by the metric.

    >>> broadcast(np.array([1.0, 0.0]), (2, 3))
    array([[1., 1., 1.],
           [0., 0., 0.]])
    """
    if weights is None:
        return None
    array = aligned_weights = np.asarray(weights)
    if array.ndim == len(shape) + 1 and array.shape[-1] == 1:
        aligned_weights = array[..., 0]
    elif array.ndim and array.ndim == len(shape) - 1:
        aligned_weights = array[..., None]
    broadcasts = aligned_weights.ndim == 0 or (
        aligned_weights.ndim == len(shape)
        and all(
            size in (1, full)
            for size, full in zip(aligned_weights.shape, shape, strict=True)
        )
    )
    return np.broadcast_to(aligned_weights, shape) if broadcasts else array
