"""`MeanLoss`: a loss that knows what it is divided by."""

from typing import Any

__all__ = ["MeanLoss"]


class MeanLoss:
    """Sums over rows or tokens, each divided by its own count, added up.

    A mean of means is no mean where the parts count differently: batches with weights,
    masks, or sentences of different lengths. A model function that returns a `MeanLoss`
    as its spec's `loss` has the parts put together by totals and counts instead, so
    that the gradient over several micro-steps is that of the whole batch, and `loss` of
    an evaluation is the same for any batch size. `spec.loss` is its value, an array.

    Losses are added to one another and multiplied by numbers. What else is added, such
    as a penalty on weights, is the same for every part.

    Args:
        total: what is divided, float32[].
        count: what it is divided by: the number of rows or tokens, or the sum of their
            weights, a number or float32[]. A count of 0 gives 0. None divides by
            nothing: the loss is a sum, which grows with the batch.

    >>> import numpy as np
    >>> losses, weights = np.array([1.0, 3.0, 5.0]), np.array([1.0, 1.0, 0.0])
    >>> loss = MeanLoss((losses * weights).sum(), weights.sum())
    >>> float(loss.value), float((2 * loss + np.float64(0.5)).value)
    (2.0, 4.5)
    """

    # NumPy's scalars would else multiply into an array of objects.
    __array_ufunc__ = None

    def __init__(self, total: Any, count: Any = None):
        self.totals: tuple[Any, ...] = (total,)
        self.counts: tuple[Any, ...] = (count,)
        self.others: tuple[Any, ...] = ()
        """What is added as it is."""

    @classmethod
    def of(cls, totals: Any, counts: Any, others: Any) -> "MeanLoss":
        """One of several parts, as `parts` takes it apart."""
        made = cls.__new__(cls)
        made.totals, made.counts = tuple(totals), tuple(counts)
        made.others = tuple(others)
        return made

    @property
    def parts(self) -> tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]:
        """(totals, their counts, what is added as it is)."""
        return self.totals, self.counts, self.others

    @property
    def value(self) -> Any:
        """The loss itself."""
        return self.over(self.counts)

    def over(self, counts: Any, share: float = 1) -> Any:
        """The loss of this part of a batch, as a share of the loss of the whole.

        Args:
            counts: of the whole batch, one for each total.
            share: of the whole batch that this part is.
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
