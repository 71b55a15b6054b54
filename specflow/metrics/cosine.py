"""The angle between vectors of labels and of predictions."""

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
    """One less the mean inner product of vectors, which have to be of unit length.

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
        """The state of one batch.

        Args:
            labels: vectors of length 1 on the last axis; they are taken as they are.
            predictions: shaped as the labels, of length 1 too.
            weights: of each vector, or of each row for all its vectors; 0 leaves it
                out.
            undefined: value of no vectors; None is NaN.

        Raises:
            DataError: shapes do not fit, or a weight is negative or not finite.
        """
        labels, predictions = np.asarray(labels), np.asarray(predictions)
        name = cls.__name__
        # Compares the shapes, before the vectors are counted.
        rows(name, {"labels": labels, "predictions": predictions}, None)
        leading = labels.shape[:-1]
        vectors = np.arange(math.prod(leading)).reshape(leading)
        kept, weight = rows(name, {"vectors": vectors}, weights)
        width = labels.shape[-1]
        pair = [
            as_numbers(tensor.reshape(vectors.size, width)[kept]).reshape(-1)
            for tensor in (labels, predictions)
        ]
        if weight is not None:
            pair.append(np.repeat(weight, width))
        count = weight_sum(kept.size, weight)
        # Over all coordinates at once: sums of single vectors would be rounded.
        return cls(plus(count, -exact_sum(*pair)), count, undefined)
