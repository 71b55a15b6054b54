"""Means and regression metrics, under their names in `tf.metrics`."""

import numpy as np
from jaxtyping import Num
from numpy.typing import ArrayLike, NDArray

from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.metrics.cosine import CosineDistance
from specflow.metrics.elementwise import MeanTensor
from specflow.metrics.means import Mean
from specflow.metrics.regression import MAE, MSE, RMSE
from specflow.metrics.relative import RelativeError
from specflow.runtime.typing import describe
from specflow.tf.metrics.value_and_state import aligned, broadcast, pair

__all__ = [
    "mean",
    "mean_absolute_error",
    "mean_cosine_distance",
    "mean_relative_error",
    "mean_squared_error",
    "mean_tensor",
    "percentage_below",
    "root_mean_squared_error",
]


@pair
def mean(
    values: Num[NDArray, "b ..."],
    weights: ArrayLike | None = None,
    *,
    undefined: float | None = 0.0,
) -> Mean:
    """Weighted mean of all values: sum(w v) / sum(w).

    Args:
        values: any numbers.
        weights: sample weights, a scalar or shaped as the values (axes of size 1
            broadcast); 0 masks.
        undefined: value without rows, as `zero_division` of scikit-learn; None: NaN.

    Returns:
        (mean of this batch, `Mean` state).

    Raises:
        DataError: shapes do not match, or a weight is negative or not finite.

    >>> mean(np.array([1.0, 2.0, 4.0]), weights=np.array([1, 1, 0]))[0]
    1.5
    """
    return Mean.from_batch(*aligned(weights, values=values), undefined=undefined)


@pair
def mean_tensor(
    values: Num[NDArray, "..."],
    weights: ArrayLike | None = None,
    *,
    undefined: float | None = 0.0,
) -> MeanTensor:
    """Elementwise mean over batches, of one tensor per batch.

    The tensor has the same shape in every batch; it is one value of the batch, not one
    per row. For the mean over rows use the state itself, `MeanTensor`.

    Args:
        values: any numbers.
        weights: sample weights, a scalar or shaped as the values (axes of size 1
            broadcast); 0 masks.
        undefined: value of elements that were always masked; None: NaN.

    Returns:
        (the tensor of this batch, `MeanTensor` state).

    Raises:
        DataError: shapes do not match, or a weight is negative or not finite.

    >>> _, state = mean_tensor(np.array([1.0, 2.0]))
    >>> state.merge(mean_tensor(np.array([3.0, 6.0]))[1]).compute()
    array([2., 4.])
    """
    tensor = np.asarray(values)
    weight = broadcast(weights, tensor.shape)
    row_weight = None if weight is None else weight[None]
    return MeanTensor.from_batch(tensor[None], row_weight, undefined=undefined)


@pair
def mean_squared_error(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    weights: ArrayLike | None = None,
    *,
    undefined: float | None = 0.0,
) -> MSE:
    """Mean squared error: the mean of (prediction - label)^2.

    Args:
        labels: any numbers.
        predictions: shaped as the labels.
        weights: sample weights, a scalar or shaped as the labels (axes of size 1
            broadcast); 0 masks.
        undefined: value without rows, as `zero_division` of scikit-learn; None: NaN.

    Returns:
        (value of this batch, `MSE` state).

    Raises:
        DataError: shapes do not match, or a weight is negative or not finite.

    >>> mean_squared_error(np.array([1.0, 2.0]), np.array([1.0, 4.0]))[0]
    2.0
    """
    tensors = aligned(weights, labels=labels, predictions=predictions)
    return MSE.from_batch(*tensors, undefined=undefined)


@pair
def root_mean_squared_error(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    weights: ArrayLike | None = None,
    *,
    undefined: float | None = 0.0,
) -> RMSE:
    """Root mean squared error over all batches.

    Args:
        labels: any numbers.
        predictions: shaped as the labels.
        weights: sample weights, a scalar or shaped as the labels (axes of size 1
            broadcast); 0 masks.
        undefined: value without rows, as `zero_division` of scikit-learn; None: NaN.

    Returns:
        (value of this batch, `RMSE` state).

    Raises:
        DataError: shapes do not match, or a weight is negative or not finite.

    >>> root_mean_squared_error(np.array([1.0, 2.0]), np.array([4.0, 5.0]))[0]
    3.0
    """
    tensors = aligned(weights, labels=labels, predictions=predictions)
    return RMSE.from_batch(*tensors, undefined=undefined)


@pair
def mean_absolute_error(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    weights: ArrayLike | None = None,
    *,
    undefined: float | None = 0.0,
) -> MAE:
    """Mean absolute error: the mean of `|prediction - label|`.

    Args:
        labels: any numbers.
        predictions: shaped as the labels.
        weights: sample weights, a scalar or shaped as the labels (axes of size 1
            broadcast); 0 masks.
        undefined: value without rows, as `zero_division` of scikit-learn; None: NaN.

    Returns:
        (value of this batch, `MAE` state).

    Raises:
        DataError: shapes do not match, or a weight is negative or not finite.

    >>> mean_absolute_error(np.array([1.0, 2.0]), np.array([1.0, 4.0]))[0]
    1.0
    """
    tensors = aligned(weights, labels=labels, predictions=predictions)
    return MAE.from_batch(*tensors, undefined=undefined)


@pair
def mean_relative_error(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    normalizer: Num[NDArray, "b ..."],
    weights: ArrayLike | None = None,
    *,
    undefined: float | None = 0.0,
) -> RelativeError:
    """Mean of `|prediction - label| / normalizer`; 0 where the normalizer is 0.

    Args:
        labels: any numbers.
        predictions: shaped as the labels.
        normalizer: shaped as the labels; often the labels.
        weights: sample weights, a scalar or shaped as the labels (axes of size 1
            broadcast); 0 masks.
        undefined: value without rows, as `zero_division` of scikit-learn; None: NaN.

    Returns:
        (value of this batch, `RelativeError` state).

    Raises:
        DataError: shapes do not match, or a weight is negative or not finite.

    >>> labels = np.array([1.0, 4.0, 0.0])
    >>> mean_relative_error(labels, np.array([2.0, 3.0, 5.0]), normalizer=labels)[0]
    0.4166666666666667
    """
    label, prediction, divisor, weight = aligned(
        weights, labels=labels, predictions=predictions, normalizer=normalizer
    )
    return RelativeError.from_batch(
        label, prediction, weight, normalizer=divisor, undefined=undefined
    )


@pair
def mean_cosine_distance(
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    dim: int,
    weights: ArrayLike | None = None,
    *,
    undefined: float | None = 1.0,
) -> CosineDistance:
    """Mean cosine distance of unit vectors: 1 - the mean inner product along an axis.

    Args:
        labels: unit vectors; they are not normalized.
        predictions: unit vectors, shaped as the labels.
        dim: axis of the vectors; not the first, which is the batch.
        weights: sample weights, a scalar or shaped as the labels with size 1 in `dim`
            (and in axes that broadcast); 0 masks.
        undefined: value without vectors; None: NaN.

    Returns:
        (value of this batch, `CosineDistance` state).

    Raises:
        DataError: shapes do not match, `dim` is not an axis of vectors, or a weight is
            negative or not finite.

    >>> labels, predictions = np.array([[1.0, 0.0]]), np.array([[0.6, 0.8]])
    >>> mean_cosine_distance(labels, predictions, dim=1)[0]
    0.4
    """
    label, prediction, _ = aligned(None, labels=labels, predictions=predictions)
    axis = dim + label.ndim if dim < 0 else dim
    if not 1 <= axis < label.ndim:
        raise DataError(
            Diagnostic(
                "mean_cosine_distance",
                f"dim is {dim}, labels are {describe(label)}",
                expected="an axis after the first, which is the rows",
                code="metric-values",
            )
        )
    per_vector = (*label.shape[:axis], 1, *label.shape[axis + 1 :])
    weight = broadcast(weights, per_vector)
    if weight is not None and weight.shape == per_vector:
        weight = np.moveaxis(weight, axis, -1)[..., 0]
    return CosineDistance.from_batch(
        np.moveaxis(label, axis, -1),
        np.moveaxis(prediction, axis, -1),
        weight,
        undefined=undefined,
    )


@pair
def percentage_below(
    values: Num[NDArray, "b ..."],
    threshold: float,
    weights: ArrayLike | None = None,
    *,
    undefined: float | None = 0.0,
) -> Mean:
    """Fraction of values below a threshold, in [0, 1].

    Args:
        values: any numbers; one equal to the threshold is not below it.
        threshold: compared in the type of the values.
        weights: sample weights, a scalar or shaped as the values (axes of size 1
            broadcast); 0 masks.
        undefined: value without rows, as `zero_division` of scikit-learn; None: NaN.

    Returns:
        (fraction in this batch, `Mean` state).

    Raises:
        DataError: shapes do not match, or a weight is negative or not finite.

    >>> percentage_below(np.array([1.0, 2.0, 4.0, 8.0]), threshold=4.0)[0]
    0.5
    """
    value, weight = aligned(weights, values=values)
    return Mean.from_batch(value < threshold, weight, undefined=undefined)
