"""Regression metrics: MSE, RMSE, MAE and R2."""

import dataclasses
import math
from fractions import Fraction
from typing import Self

import numpy as np
from jaxtyping import Num
from numpy.typing import NDArray

from specflow.metrics.exact import Exact, exact_sum, plus, ratio
from specflow.metrics.metric import Metric, Ratio, weight_sum
from specflow.metrics.metric_rows import as_numbers, rows

__all__ = ["MAE", "MSE", "R2", "RMSE"]


class MSE(Ratio):
    """Mean squared error, over all values.

    >>> import numpy as np
    >>> MSE.from_batch(np.array([1.0, 2.0]), np.array([1.0, 4.0])).compute()
    2.0
    """

    __slots__ = ()

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."],
        predictions: Num[NDArray, "b ..."],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        undefined: float | None = None,
    ) -> Self:
        """Builds the state of one batch.

        Args:
            labels: true values.
            predictions: predicted values, shaped as the labels.
            weights: sample weights, one per label or per row; 0 leaves it out.
            undefined: value without rows; None: NaN.

        Raises:
            DataError: shapes do not match, or a weight is negative or not finite.
        """
        label, prediction, weight = _numbers(cls, labels, predictions, weights)
        error = _difference(label, prediction)
        total = exact_sum(error, error, *_factors(weight))
        return cls(total, weight_sum(error.size, weight), undefined)


class RMSE(MSE):
    """Root mean squared error, in the unit of the labels.

    >>> import numpy as np
    >>> RMSE.from_batch(np.array([1.0, 2.0]), np.array([4.0, 5.0])).compute()
    3.0
    """

    __slots__ = ()

    def _value(self, mean: float) -> float:
        return math.sqrt(mean)


class MAE(Ratio):
    """Mean absolute error, in the unit of the labels.

    >>> import numpy as np
    >>> MAE.from_batch(np.array([1.0, 2.0]), np.array([1.0, 4.0])).compute()
    1.0
    """

    __slots__ = ()

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."],
        predictions: Num[NDArray, "b ..."],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        undefined: float | None = None,
    ) -> Self:
        """Builds the state of one batch.

        Args:
            labels: true values.
            predictions: predicted values, shaped as the labels.
            weights: sample weights, one per label or per row; 0 leaves it out.
            undefined: value without rows; None: NaN.

        Raises:
            DataError: shapes do not match, or a weight is negative or not finite.
        """
        label, prediction, weight = _numbers(cls, labels, predictions, weights)
        error = abs(_difference(label, prediction))
        total = exact_sum(error, *_factors(weight))
        return cls(total, weight_sum(error.size, weight), undefined)


@dataclasses.dataclass(frozen=True, slots=True)
class R2(Metric):
    """R2, coefficient of determination: 1 is perfect, 0 is the mean of the labels.

    All values are pooled. NaN if the labels are constant, where scikit-learn returns 1
    or 0. The sums are exact, so there is no cancellation for labels far from zero, and
    one pass over the data is enough.

    >>> import numpy as np
    >>> labels = np.array([1e9, 1e9 + 1, 1e9 + 2])
    >>> R2.from_batch(labels, labels + np.array([0.0, 0.0, 1.0])).compute()
    0.5
    """

    residual: Exact = 0
    """Sum of the squared errors."""
    squares: Exact = 0
    """Sum of the squared labels."""
    total: Exact = 0
    """Sum of the labels."""
    count: Exact = 0
    """Number of values, or the sum of their weights."""

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."],
        predictions: Num[NDArray, "b ..."],
        weights: Num[NDArray, "b ..."] | None = None,
    ) -> Self:
        """Builds the state of one batch; predictions are shaped as the labels.

        Raises:
            DataError: shapes do not match, or a weight is negative or not finite.
        """
        label, prediction, weight = _numbers(cls, labels, predictions, weights)
        error = _difference(label, prediction)
        factors = _factors(weight)
        return cls(
            residual=exact_sum(error, error, *factors),
            squares=exact_sum(label, label, *factors),
            total=exact_sum(label, *factors),
            count=weight_sum(label.size, weight),
        )

    def merge(self, other: Self) -> Self:
        return type(self)(
            plus(self.residual, other.residual),
            plus(self.squares, other.squares),
            plus(self.total, other.total),
            plus(self.count, other.count),
        )

    def compute(self) -> float:
        residual, squares, total = self.residual, self.squares, self.total
        sums = (residual, squares, total)
        finite = not any(isinstance(value, float) for value in sums)
        if not self.count or not finite:
            return math.nan
        spread = squares - Fraction(total) ** 2 / Fraction(self.count)
        return ratio(spread - residual, spread)


def _numbers(
    metric: type[Metric],
    labels: Num[NDArray, "b ..."],
    predictions: Num[NDArray, "b ..."],
    weights: Num[NDArray, "b ..."] | None,
) -> tuple[NDArray, NDArray, NDArray | None]:
    label, prediction, weight = rows(
        metric.__name__, {"labels": labels, "predictions": predictions}, weights
    )
    return as_numbers(label), as_numbers(prediction), weight


def _difference(label: NDArray, prediction: NDArray) -> NDArray:
    # Infinity minus infinity is NaN, which the metric reports.
    with np.errstate(invalid="ignore", over="ignore"):
        return label - prediction


def _factors(weight: NDArray | None) -> tuple[NDArray, ...]:
    return () if weight is None else (weight,)
