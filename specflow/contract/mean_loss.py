"""`MeanLoss`: a loss with its denominator, exact over micro-batches."""

from typing import Any

__all__ = ["MeanLoss"]


class MeanLoss:
    """A sum of terms, each a total over rows or tokens divided by its count.

    The mean of the means of micro-batches differs from the mean over the batch where
    their counts differ: with weights, masks, or sentences of different lengths. For a
    spec whose `loss` is a `MeanLoss`, totals and counts are summed instead: the
    gradient over several micro-steps is that of the full batch, and the `loss` of an
    evaluation does not depend on the batch size. `spec.loss` is its value, an array.

    Mean losses can be added to each other and multiplied by numbers. Any other term
    that is added, such as a penalty on weights, counts as equal in every micro-batch.

    Args:
        total: numerator, float32[].
        count: denominator: the number of rows or tokens, or the sum of their weights,
            a number or float32[]. A count of 0 gives 0. None divides by nothing: the
            loss is a sum, which grows with the batch.

    >>> import numpy as np
    >>> losses, weights = np.array([1.0, 3.0, 5.0]), np.array([1.0, 1.0, 0.0])
    >>> loss = MeanLoss((losses * weights).sum(), weights.sum())
    >>> float(loss.value), float((2 * loss + np.float64(0.5)).value)
    (2.0, 4.5)
    """

    # Without it, a NumPy scalar times a loss is an array of objects.
    __array_ufunc__ = None

    def __init__(self, total: Any, count: Any = None):
        self.totals: tuple[Any, ...] = (total,)
        self.counts: tuple[Any, ...] = (count,)
        self.others: tuple[Any, ...] = ()
        """Terms that are added without a denominator."""

    @classmethod
    def of(cls, totals: Any, counts: Any, others: Any) -> "MeanLoss":
        """Builds a loss from its `parts`."""
        loss = cls.__new__(cls)
        loss.totals, loss.counts = tuple(totals), tuple(counts)
        loss.others = tuple(others)
        return loss

    @property
    def parts(self) -> tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]:
        """(totals, their counts, other terms)."""
        return self.totals, self.counts, self.others

    @property
    def value(self) -> Any:
        """The scalar loss, float32[]."""
        return self.over(self.counts)

    def over(self, counts: Any, share: float = 1) -> Any:
        """The contribution of this micro-batch to the loss of the full batch.

        Args:
            counts: denominators over the full batch, one for each total.
            share: fraction of the full batch that this micro-batch is.
        """
        value: Any = 0
        for total, count in zip(self.totals, counts, strict=True):
            value = (total if count is None else total / (count + (count == 0))) + value
        for other in self.others:
            value = share * other + value
        return value

    def __add__(self, other: Any) -> "MeanLoss":
        if isinstance(other, MeanLoss):
            return self.of(
                self.totals + other.totals,
                self.counts + other.counts,
                self.others + other.others,
            )
        return self.of(self.totals, self.counts, (*self.others, other))

    __radd__ = __add__

    def __mul__(self, factor: Any) -> "MeanLoss":
        return self.of(
            [total * factor for total in self.totals],
            self.counts,
            [other * factor for other in self.others],
        )

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> "MeanLoss":
        return self * (1 / divisor)

    def __sub__(self, other: Any) -> "MeanLoss":
        return self + other * -1

    def __repr__(self) -> str:
        return f"MeanLoss(totals={self.totals!r}, counts={self.counts!r})"
