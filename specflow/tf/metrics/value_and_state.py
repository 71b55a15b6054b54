"""How TensorFlow's metric functions took tensors, and what they gave back."""

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
    """The function, with the state it returns as a pair: (value of this batch, state).

    Messages about the batch name the function.

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
                dataclasses.replace(each, where=name) for each in error.diagnostics
            ]
            raise DataError(*diagnostics) from error
        return state.compute(), state

    return paired


def aligned(weights: ArrayLike | None, **tensors: ArrayLike) -> tuple[Any, ...]:
    """The tensors in one shape, then the weights as `broadcast` to it.

    A last axis of size 1 that others lack is dropped.

    Raises:
        DataError: shapes differ otherwise, or a tensor is not of numbers.

    >>> aligned(2.0, labels=np.zeros([2, 1]), predictions=np.ones(2))
    (array([0., 0.]), array([1., 1.]), array([2., 2.]))
    """
    arrays = {name: np.asarray(tensor) for name, tensor in tensors.items()}
    rank = min(array.ndim for array in arrays.values())
    for name, array in arrays.items():
        if array.ndim == rank + 1 and array.shape[-1] == 1:
            arrays[name] = array[..., 0]
    # Compares the shapes, and refuses what is without rows or not of numbers.
    rows("", arrays, None)
    first, *_ = arrays.values()
    return (*arrays.values(), broadcast(weights, first.shape))


def broadcast(
    weights: ArrayLike | None, shape: tuple[int, ...]
) -> Num[NDArray, "..."] | None:
    """The weights in a shape: one for all, or of the same rank with axes of size 1.

    A last axis may be missing, or be one of size 1 too many. What does not fit so is
    returned as it is, for the metric to judge.

    >>> broadcast(np.array([1.0, 0.0]), (2, 3))
    array([[1., 1., 1.],
           [0., 0., 0.]])
    """
    if weights is None:
        return None
    given = fitted = np.asarray(weights)
    if given.ndim == len(shape) + 1 and given.shape[-1] == 1:
        fitted = given[..., 0]
    elif given.ndim and given.ndim == len(shape) - 1:
        fitted = given[..., None]
    alike = fitted.ndim == len(shape) and all(
        size in (1, whole) for size, whole in zip(fitted.shape, shape, strict=True)
    )
    return np.broadcast_to(fitted, shape) if alike or not fitted.ndim else given
