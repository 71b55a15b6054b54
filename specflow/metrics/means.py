"""Means over rows or tokens, and what language models make of the mean loss."""

import math
from fractions import Fraction
from typing import Self

from jaxtyping import Float, Num
from numpy.typing import NDArray

from specflow.metrics.exact import exact_sum
from specflow.metrics.metric import AnyRatio, Ratio, weight_sum
from specflow.metrics.metric_rows import as_numbers, rows

__all__ = ["BitsPerByte", "Mean", "Perplexity"]


class Mean(Ratio):
    """The mean of a tensor over all its values; NaN of no values.

    >>> import numpy as np
    >>> Mean.from_batch(np.array([1.0, 2.0]), weights=np.array([3.0, 1.0])).compute()
    1.25
    """

    __slots__ = ()

    @classmethod
    def from_batch(
        cls,
        values: Num[NDArray, "b ..."],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        undefined: float | None = None,
    ) -> Self:
        """The state of one batch.

        Args:
            values: any numbers; an infinity or a NaN makes the mean one.
            weights: of each value, or of each row for all its values; None counts every
                value once, 0 leaves a value out.
            undefined: the mean of no values; None is NaN.

        Raises:
            DataError: shapes do not fit, or a weight is negative or not finite.
        """
        return _mean(cls, "values", values, weights, undefined)


class Perplexity(Ratio):
    """exp of the mean loss per token; at least 1, and 1 is certainty.

    >>> import numpy as np
    >>> Perplexity.from_batch(np.zeros((2, 3))).compute()
    1.0
    """

    __slots__ = ()

    @classmethod
    def from_batch(
        cls,
        losses: Float[NDArray, "b ..."],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        undefined: float | None = None,
    ) -> Self:
        """The state of one batch.

        Args:
            losses: cross-entropy of each token, in nats.
            weights: of each token, or of each row for all its tokens.
            undefined: value of no tokens; None is NaN.

        Raises:
            DataError: shapes do not fit, or a weight is negative or not finite.
        """
        return _mean(cls, "losses", losses, weights, undefined)

    def _value(self, mean: float) -> float:
        try:
            return math.exp(mean)
        except OverflowError:
            return math.inf


class BitsPerByte(Ratio):
    """Mean loss per byte of text, in bits: comparable between tokenizers.

    >>> import numpy as np
    >>> losses = np.full((1, 4), np.log(2.0))
    >>> BitsPerByte.from_batch(losses, bytes_per_token=2.0).compute()
    0.5
    """

    __slots__ = ()

    @classmethod
    def from_batch(
        cls,
        losses: Float[NDArray, "b ..."],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        bytes_per_token: float = 1.0,
        undefined: float | None = None,
    ) -> Self:
        """The state of one batch.

        Args:
            losses: cross-entropy of each token, in nats.
            weights: of each token, or of each row for all its tokens.
            bytes_per_token: mean number of bytes a token stands for.
            undefined: value of no tokens; None is NaN.

        Raises:
            DataError: shapes do not fit, or a weight is negative or not finite.
        """
        tokens = _mean(cls, "losses", losses, weights, undefined)
        return cls(tokens.total, tokens.count * Fraction(bytes_per_token), undefined)

    def _value(self, mean: float) -> float:
        return mean / math.log(2.0)


def _mean(
    metric: type[AnyRatio],
    name: str,
    values: Num[NDArray, "b ..."],
    weights: Num[NDArray, "b ..."] | None,
    undefined: float | None,
) -> AnyRatio:
    value, weight = rows(metric.__name__, {name: values}, weights)
    numbers = as_numbers(value)
    factors = (numbers,) if weight is None else (numbers, weight)
    return metric(exact_sum(*factors), weight_sum(numbers.size, weight), undefined)
