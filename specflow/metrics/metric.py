"""Metrics as mergeable states: built per batch, merged, computed at the end."""

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
    """Protocol of what a metric_fn returns: states that merge and compute."""

    def merge(self, other: Any, /) -> Any:
        """Merges the states of two sets of rows."""
        ...

    def compute(self) -> Any:
        """Computes the metric of all rows so far: a number or an array."""
        ...


class Metric(abc.ABC):
    """Metric as a state: `from_batch` builds, `merge` combines, `compute` evaluates.

    A subclass is a frozen dataclass of sufficient statistics: counts and sums, never a
    mean. `compute` returns the same value for any division of the rows into batches,
    merged in any order. States hold NumPy arrays and Python numbers, on the host.

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
    >>> first, second = np.array([1, 0, 1]), np.array([1])
    >>> Positives.from_batch(first).merge(Positives.from_batch(second)).compute()
    3
    """

    __slots__ = ()

    @classmethod
    @abc.abstractmethod
    def from_batch(cls, *args: Any, **kwargs: Any) -> Self:
        """Builds the state of one batch; tensors are NumPy arrays, rows first."""

    @abc.abstractmethod
    def merge(self, other: Any) -> Self:
        """Merges the states of two sets of rows; one without rows is neutral."""

    @abc.abstractmethod
    def compute(self) -> Any:
        """Computes the metric of all rows so far; NaN where it is undefined."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ratio(Metric):
    """Metric that is the ratio of two exact sums.

    >>> Mean = type("Mean", (Ratio,), {"from_batch": lambda *_: None})
    >>> Mean(1, 4).merge(Mean(2, 4)).compute()
    0.375
    """

    total: Exact = 0
    """Sum over the rows; an int if rows are only counted."""
    count: Exact = 0
    """Number of rows, or the sum of their weights."""
    undefined: float | None = None
    """Value if the denominator is zero; None: NaN."""

    def merge(self, other: Self) -> Self:
        if not self.count and self == type(self)():
            return other
        if not other.count:
            return self
        if self.undefined is not other.undefined:
            same_settings(self, other, "undefined")
        total, count = plus(self.total, other.total), plus(self.count, other.count)
        return type(self)(total, count, self.undefined)

    def compute(self) -> float:
        if not self.count and self.undefined is not None:
            return self.undefined
        return self._value(ratio(self.total, self.count))

    def _value(self, mean: float) -> float:
        """Transforms the ratio into the value of the metric."""
        return mean


AnyRatio = TypeVar("AnyRatio", bound=Ratio)


def weight_sum(rows: int, weights: Float[np.ndarray, " n"] | None) -> Exact:
    """Returns the number of rows, or the exact sum of their weights.

    >>> weight_sum(3, None), float(weight_sum(3, np.array([0.5, 0.5, 2.0])))
    (3, 3.0)
    """
    return rows if weights is None else exact_sum(weights)


def weight_sums(
    group: Int[np.ndarray, " n"], groups: int, weights: Float[np.ndarray, " n"] | None
) -> list[Exact]:
    """Returns the number of rows, or the exact sum of weights, of each group.

    Args:
        group: group index of each row, in [0, groups).
        groups: number of groups.
        weights: sample weights, one per row; None: 1.

    >>> weight_sums(np.array([0, 2, 2]), 3, None)
    [1, 0, 2]
    """
    if weights is None:
        return np.bincount(group, minlength=groups).tolist()
    return [*exact_sums(weights, group, groups)]


def same_settings(state: Metric, other: Metric, *names: str) -> None:
    """Checks that two states were built with the same arguments.

    Raises:
        DataError: an argument differs; the message has both values.
    """
    for name in names:
        mine, theirs = getattr(state, name), getattr(other, name)
        if mine is not theirs and mine != theirs:
            raise DataError(
                Diagnostic(
                    type(state).__name__,
                    f"states of {name}={mine!r} and of {name}={theirs!r}",
                    expected="the same arguments for every batch",
                    code="metric-settings",
                )
            )
