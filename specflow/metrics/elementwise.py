"""Elementwise mean of tensors."""

import dataclasses
import math
from typing import Self

import numpy as np
from jaxtyping import Float, Num
from numpy.typing import NDArray

from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.metrics.exact import Exact, group_sums, plus, ratio
from specflow.metrics.metric import Metric, same_settings, weight_sums
from specflow.metrics.metric_rows import as_numbers, rows

__all__ = ["MeanTensor"]


@dataclasses.dataclass(frozen=True, slots=True)
class MeanTensor(Metric):
    """Mean over rows of each element of a tensor.

    >>> MeanTensor.from_batch(np.array([[1.0, 2.0], [3.0, 6.0]])).compute()
    array([2., 4.])
    """

    totals: tuple[Exact, ...] = ()
    """Sum of each element."""
    counts: tuple[Exact, ...] = ()
    """Number of rows of each element, or the sum of their weights."""
    shape: tuple[int, ...] | None = None
    """Shape of a row; None: no rows yet."""
    undefined: float | None = None

    @classmethod
    def from_batch(
        cls,
        values: Num[NDArray, "b ..."],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        undefined: float | None = None,
    ) -> Self:
        """Builds the state of one batch.

        Args:
            values: numbers; the rows of all batches have one shape.
            weights: sample weights, one per value or per row; 0 leaves a value out of
                the mean of its element.
            undefined: value of an element without values; None: NaN.

        Raises:
            DataError: shapes do not match, or a weight is negative or not finite.
        """
        values = np.asarray(values)
        shape, size = values.shape[1:], math.prod(values.shape[1:])
        element = np.broadcast_to(np.arange(size).reshape(shape), values.shape)
        value, element, weight = rows(
            cls.__name__, {"values": values, "elements": element}, weights
        )
        factors = () if weight is None else (weight,)
        totals = group_sums(element, size, as_numbers(value), *factors)
        counts = weight_sums(element, size, weight)
        return cls(tuple(totals), tuple(counts), shape, undefined)

    def merge(self, other: Self) -> Self:
        if self.shape is None or other.shape is None:
            return other if self.shape is None else self
        if self.shape != other.shape:
            raise DataError(
                Diagnostic(
                    type(self).__name__,
                    f"states of rows of shape {list(self.shape)} and of shape "
                    f"{list(other.shape)}",
                    expected="the same shape in every batch",
                    code="metric-shapes",
                )
            )
        same_settings(self, other, "undefined")
        return dataclasses.replace(
            self,
            totals=tuple(map(plus, self.totals, other.totals)),
            counts=tuple(map(plus, self.counts, other.counts)),
        )

    def compute(self) -> Float[NDArray, "..."]:
        empty = math.nan if self.undefined is None else self.undefined
        means = [
            ratio(total, count) if count else empty
            for total, count in zip(self.totals, self.counts, strict=True)
        ]
        shape = (0,) if self.shape is None else self.shape
        return np.array(means, np.float64).reshape(shape)
