"""How far numbers are off, measured by a yardstick of each."""

from typing import Self

import numpy as np
from jaxtyping import Num
from numpy.typing import NDArray

from specflow.metrics.exact import exact_sum
from specflow.metrics.metric import Ratio, weight_sum
from specflow.metrics.metric_rows import as_numbers, rows

__all__ = ["RelativeError"]


class RelativeError(Ratio):
    """The mean of |prediction - label| / normalizer; 0 where the normalizer is 0.

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
        """The state of one batch.

        Args:
            labels: any numbers.
            predictions: shaped as the labels.
            weights: of each label, or of each row for all its labels; 0 leaves it out.
            normalizer: what each error is divided by, shaped as the labels.
            undefined: value of no rows; None is NaN.

        Raises:
            DataError: shapes do not fit, or a weight is negative or not finite.

        Source: tf.compat.v1.metrics.mean_relative_error.
        """
        tensors = {
            "labels": labels,
            "predictions": predictions,
            "normalizer": normalizer,
        }
        *values, weight = rows(cls.__name__, tensors, weights)
        label, prediction, yardstick = map(as_numbers, values)
        # Infinity less infinity, or over infinity, is a NaN, which the metric reports.
        with np.errstate(invalid="ignore", over="ignore"):
            error = np.divide(
                abs(prediction - label),
                yardstick,
                out=np.zeros_like(label),
                where=yardstick != 0.0,
            )
        factors = (error,) if weight is None else (error, weight)
        return cls(exact_sum(*factors), weight_sum(error.size, weight), undefined)
