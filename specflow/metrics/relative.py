"""Mean relative error."""

from typing import Self

import numpy as np
from jaxtyping import Num
from numpy.typing import NDArray

from specflow.metrics.exact import exact_sum
from specflow.metrics.metric import Ratio, weight_sum
from specflow.metrics.metric_rows import as_numbers, rows

__all__ = ["RelativeError"]


class RelativeError(Ratio):
    """Mean relative error: `|prediction - label| / normalizer`, or 0 if that is 0.

    >>> labels, predictions = np.array([1.0, 4.0]), np.array([2.0, 3.0])
    >>> RelativeError.from_batch(labels, predictions, normalizer=labels).compute()
    0.625
    """

    __slots__ = ()

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."],
        predictions: Num[NDArray, "b ..."],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        normalizer: Num[NDArray, "b ..."],
        undefined: float | None = None,
    ) -> Self:
        """Builds the state of one batch.

        Args:
            labels: true values.
            predictions: predicted values, shaped as the labels.
            weights: sample weights, one per label or per row; 0 leaves it out.
            normalizer: divisor of each error, shaped as the labels.
            undefined: value without rows; None: NaN.

        Raises:
            DataError: shapes do not match, or a weight is negative or not finite.

        Source: tf.compat.v1.metrics.mean_relative_error.
        """
        tensors = {
            "labels": labels,
            "predictions": predictions,
            "normalizer": normalizer,
        }
        *values, weight = rows(cls.__name__, tensors, weights)
        label, prediction, divisor = map(as_numbers, values)
        # Infinity minus or over infinity is NaN, which the metric reports.
        with np.errstate(invalid="ignore", over="ignore"):
            error = np.divide(
                abs(prediction - label),
                divisor,
                out=np.zeros_like(label),
                where=divisor != 0.0,
            )
        factors = (error,) if weight is None else (error, weight)
        return cls(exact_sum(*factors), weight_sum(error.size, weight), undefined)
