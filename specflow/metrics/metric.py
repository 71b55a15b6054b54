"""What a metric is: a small state made from each batch, merged, and read at the end."""

import abc
import dataclasses
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.metrics.exact import Exact, exact_sum, exact_sums, plus, ratio

__all__ = [
    "AnyRatio",
    "Metric",
    "Ratio",
    "State",
    "same_settings",
    "weight_sum",
    "weight_sums",
]


@runtime_checkable
class State(Protocol):
    """What a metric_fn may return under a name: anything that merges and computes."""

    def merge(self, other: Any, /) -> Any:
        """The state of both sets of rows together."""
        ...

    def compute(self) -> Any:
        """The metric of all rows so far: a number or an array."""
        ...


class Metric(abc.ABC):
    """A metric as a state: `from_batch` makes it, `merge` adds up, `compute` reads.

    A subclass is a frozen dataclass whose fields are enough to continue from: counts
    and sums, never a mean. Cut the rows anywhere, merge the pieces in any order, and
    `compute` gives the same value. All of it is NumPy on the host.

    >>> @dataclasses.dataclass(frozen=True, slots=True)
    ... class Positives(Metric):
    ...     count: int = 0
    ...     @classmethod
    ...     def from_batch(cls, labels):
    ...         return cls(int((labels > 0).sum()))
    ...     def merge(self, other):
    ...         return Positives(self.count + other.count)
    ...     def compute(self):
    ...         return self.count
    >>> one, two = np.array([1, 0, 1]), np.array([1])
    >>> Positives.from_batch(one).merge(Positives.from_batch(two)).compute()
    3
    """

    __slots__ = ()

    @classmethod
    @abc.abstractmethod
    def from_batch(cls, *args: Any, **kwargs: Any) -> Self:
        """The state of one batch of rows; tensors are NumPy arrays, rows first."""

    @abc.abstractmethod
    def merge(self, other: Any) -> Self:
        """The state of both sets of rows together; one without rows adds nothing."""

    @abc.abstractmethod
    def compute(self) -> Any:
        """The metric of all rows so far; NaN where it is undefined."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ratio(Metric):
    """A metric that is one exact sum over another: most are.

    >>> Mean = type("Mean", (Ratio,), {"from_batch": lambda *_: None})
    >>> Mean(1, 4).merge(Mean(2, 4)).compute()
    0.375
    """

    total: Exact = 0
    """Sum over the rows; an int where rows are only counted."""
    count: Exact = 0
    """Number of rows, or the sum of their weights."""
    undefined: float | None = None
    """Value while there is nothing to divide by; None is NaN."""

    def merge(self, other: Self) -> Self:
        if self == type(self)():
            return other
        if not other.count:
            return self
        same_settings(self, other, "undefined")
        return dataclasses.replace(
            self,
            total=plus(self.total, other.total),
            count=plus(self.count, other.count),
        )

    def compute(self) -> float:
        if not self.count and self.undefined is not None:
            return self.undefined
        return self._value(ratio(self.total, self.count))

    def _value(self, mean: float) -> float:
        """What the metric makes of the ratio."""
        return mean


AnyRatio = TypeVar("AnyRatio", bound=Ratio)


def weight_sum(rows: int, weights: Float[np.ndarray, " n"] | None) -> Exact:
    """How much rows count for: their number, or the exact sum of their weights.

    >>> weight_sum(3, None), float(weight_sum(3, np.array([0.5, 0.5, 2.0])))
    (3, 3.0)
    """
    return rows if weights is None else exact_sum(weights)


def weight_sums(
    group: Int[np.ndarray, " n"], groups: int, weights: Float[np.ndarray, " n"] | None
) -> list[Exact]:
    """How much the rows of each group count for; see `weight_sum`.

    Args:
        group: the group of each row, in [0, groups).
        groups: number of groups.
        weights: of each row; None counts every row once.

    >>> weight_sums(np.array([0, 2, 2]), 3, None)
    [1, 0, 2]
    """
    if weights is None:
        return np.bincount(group, minlength=groups).tolist()
    return [*exact_sums(weights, group, groups)]


def same_settings(state: Metric, other: Metric, *names: str) -> None:
    """Raises if two states were made with different arguments.

    Raises:
        DataError: an argument differs; with both values.
    """
    for name in names:
        mine, theirs = getattr(state, name), getattr(other, name)
        if mine != theirs:
            raise DataError(
                Diagnostic(
                    type(state).__name__,
                    f"states of {name}={mine!r} and of {name}={theirs!r}",
                    expected="the same arguments for every batch",
                    code="metric-settings",
                )
            )
