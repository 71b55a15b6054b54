"""Cosine distance between vectors of labels and of predictions."""

import math
from typing import Self

import numpy as np
from jaxtyping import Num
from numpy.typing import NDArray

from specflow.metrics.exact import exact_sum, plus
from specflow.metrics.metric import Ratio, weight_sum
from specflow.metrics.metric_rows import as_numbers, rows

__all__ = ["CosineDistance"]


class CosineDistance(Ratio):
    """Mean cosine distance of unit vectors: 1 - their mean inner product.

    >>> labels, predictions = np.array([[1.0, 0.0]]), np.array([[0.6, 0.8]])
    >>> CosineDistance.from_batch(labels, predictions).compute()
    0.4
    """

    __slots__ = ()

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ... d"],
        predictions: Num[NDArray, "b ... d"],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        undefined: float | None = None,
    ) -> Self:
        """Builds the state of one batch.

        Args:
            labels: unit vectors on the last axis; they are not normalized.
            predictions: unit vectors, shaped as the labels.
            weights: sample weights, one per vector or per row; 0 leaves it out.
            undefined: value without vectors; None: NaN.

        Raises:
            DataError: shapes do not match, or a weight is negative or not finite.
        """
        labels, predictions = np.asarray(labels), np.asarray(predictions)
        name = cls.__name__
        # Compares the shapes before the vectors are counted.
        rows(name, {"labels": labels, "predictions": predictions}, None)
        leading = labels.shape[:-1]
        vectors = np.arange(math.prod(leading)).reshape(leading)
        index, weight = rows(name, {"vectors": vectors}, weights)
        width = labels.shape[-1]
        factors = [
            as_numbers(tensor.reshape(vectors.size, width)[index]).reshape(-1)
            for tensor in (labels, predictions)
        ]
        if weight is not None:
            factors.append(np.repeat(weight, width))
        count = weight_sum(index.size, weight)
        # One sum over all coordinates: sums of single vectors would be rounded.
        return cls(plus(count, -exact_sum(*factors)), count, undefined)
