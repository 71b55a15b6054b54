"""Mean, perplexity and bits per byte."""

import math
from fractions import Fraction
from typing import Self

from jaxtyping import Float, Num
from numpy.typing import NDArray

from specflow.metrics.exact import exact_sum
from specflow.metrics.metric import AnyRatio, Ratio, weight_sum
from specflow.metrics.metric_rows import rows

__all__ = ["BitsPerByte", "Mean", "Perplexity"]


class Mean(Ratio):
    """Weighted mean of a tensor over all its values.

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
        """Builds the state of one batch.

        Args:
            values: numbers; infinities and NaN propagate to the mean.
            weights: sample weights, one per value or per row; None: 1; 0 leaves it
                out.
            undefined: value without rows; None: NaN.

        Raises:
            DataError: shapes do not match, or a weight is negative or not finite.
        """
        return _mean(cls, "values", values, weights, undefined)


class Perplexity(Ratio):
    """Perplexity: exp of the mean cross-entropy per token; at least 1.

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
        """Builds the state of one batch.

        Args:
            losses: cross-entropy of each token, in nats.
            weights: sample weights, one per token or per row; 0 leaves it out.
            undefined: value without tokens; None: NaN.

        Raises:
            DataError: shapes do not match, or a weight is negative or not finite.
        """
        return _mean(cls, "losses", losses, weights, undefined)

    def _value(self, mean: float) -> float:
        try:
            return math.exp(mean)
        except OverflowError:
            return math.inf


class BitsPerByte(Ratio):
    """Cross-entropy per byte of text, in bits: comparable between tokenizers.

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
        """Builds the state of one batch.

        Args:
            losses: cross-entropy of each token, in nats.
            weights: sample weights, one per token or per row; 0 leaves it out.
            bytes_per_token: mean number of bytes per token.
            undefined: value without tokens; None: NaN.

        Raises:
            DataError: shapes do not match, or a weight is negative or not finite.
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
    factors = (value,) if weight is None else (value, weight)
    return metric(exact_sum(*factors), weight_sum(value.size, weight), undefined)
