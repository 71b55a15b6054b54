"""Sum of a tensor."""

import dataclasses
from typing import Self

from jaxtyping import Num
from numpy.typing import NDArray

from specflow.metrics.exact import Exact, exact_sum, plus
from specflow.metrics.metric import Metric
from specflow.metrics.metric_rows import as_numbers, rows

__all__ = ["Sum"]


@dataclasses.dataclass(frozen=True, slots=True)
class Sum(Metric):
    """Weighted sum of a tensor over all its values; of bools, the number of True.

    >>> import numpy as np
    >>> Sum.from_batch(np.array([0.5, 2.0]), weights=np.array([2.0, 1.0])).compute()
    3.0
    >>> Sum.from_batch(np.array([3, 5, 8]) > 4).compute()
    2.0
    """

    total: Exact = 0

    @classmethod
    def from_batch(
        cls,
        values: Num[NDArray, "b ..."],
        weights: Num[NDArray, "b ..."] | None = None,
    ) -> Self:
        """Builds the state of one batch.

        Args:
            values: numbers, or bool.
            weights: sample weights, one per value or per row; 0 leaves it out.

        Raises:
            DataError: shapes do not match, or a weight is negative or not finite.
        """
        value, weight = rows(cls.__name__, {"values": values}, weights)
        if weight is None:
            return cls(exact_sum(as_numbers(value)))
        return cls(exact_sum(as_numbers(value), weight))

    def merge(self, other: Self) -> Self:
        return type(self)(plus(self.total, other.total))

    def compute(self) -> float:
        return float(self.total)
