"""A column of numbers: clipped, transformed, scaled or put into buckets."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from specflow.columns.column_problem import ColumnProblem
from specflow.columns.number_statistics import NumberStatistics
from specflow.columns.one_hot import one_hot
from specflow.columns.raw_values import MISSING, as_numbers

__all__ = ["NumberColumn"]

Numbers = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NumberColumn:
    """Fitted preprocessing of numbers, in this order.

    A missing number is filled; then come clipping, the transform, and
    `(x - offset) / divisor`, or one-hot buckets. The indicator, 1 where the number was
    missing, is last. All is computed in float64, and returned as float32.

    >>> column = NumberColumn.fit(np.array([1.0, 3.0, np.nan]))
    >>> column.apply(np.array([3.0, np.nan]))
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """

    clip: tuple[float | None, float | None] = (None, None)
    """Smallest and largest number; None: unbounded."""
    transform: Literal["log", "log1p"] | None = None
    offset: float = 0.0
    divisor: float = 1.0
    edges: tuple[float, ...] | None = None
    """Left-closed boundaries of buckets, ascending; None: no buckets."""
    fill: float | None = None
    """Number in place of a missing one; None: a missing number is an error."""
    indicator: bool = False
    """A last feature is 1 where the number was missing."""
    sources: tuple[str, ...] = ()
    """The raw column; empty: it has the name of this one."""
    embedding: ClassVar[None] = None

    @classmethod
    def fit(
        cls,
        values: Numbers,
        *,
        scale: Literal["standardize", "minmax", "none"] = "standardize",
        clip: tuple[float | None, float | None] = (None, None),
        transform: Literal["log", "log1p"] | None = None,
        buckets: Sequence[float] | None = None,
        quantiles: int | None = None,
        missing: Literal["mean", "median", "error"] | float = "mean",
        indicator: bool | None = None,
    ) -> Self:
        """Fits the column to numbers of the training split.

        Sums are exact, and rounded once, so the result does not depend on the order of
        the rows.

        Args:
            values: float64 "n", NaN where missing; at least one is not.
            scale: `standardize`: to mean 0 and variance 1 of the training numbers;
                `minmax`: to [0, 1]; a constant column becomes 0.
            clip: smallest and largest number.
            transform: natural logarithm of the number, or of one more.
            buckets: left-closed boundaries, of transformed numbers; no scaling then.
            quantiles: number of buckets with equally many training numbers.
            missing: rule for a missing number: mean or median of the training numbers,
                or a constant.
            indicator: None: if a training number is missing.
        """
        settings = {"clip": clip, "transform": transform}
        wanted = {"scale": scale, "quantiles": quantiles, "missing": missing}
        statistics = cls.statistics(**settings, **wanted, buckets=buckets)
        while statistics.passes_left:
            statistics.add(values)
            statistics.end_pass()
        return cls.fitted(
            statistics, **settings, **wanted, buckets=buckets, indicator=indicator
        )

    @classmethod
    def statistics(
        cls,
        *,
        scale: str = "standardize",
        clip: tuple[float | None, float | None] = (None, None),
        transform: Literal["log", "log1p"] | None = None,
        buckets: Sequence[float] | None = None,
        quantiles: int | None = None,
        missing: str | float = "mean",
    ) -> NumberStatistics:
        """The empty statistics that `fitted` takes, to be filled block by block."""
        inner = () if quantiles is None else _inner(quantiles)
        return NumberStatistics(
            cls(clip=clip, transform=transform).transformed,
            median=missing == "median",
            quantiles=inner,
            variance=scale == "standardize" and buckets is None and quantiles is None,
        )

    @classmethod
    def fitted(
        cls,
        statistics: NumberStatistics,
        *,
        scale: str = "standardize",
        clip: tuple[float | None, float | None] = (None, None),
        transform: Literal["log", "log1p"] | None = None,
        buckets: Sequence[float] | None = None,
        quantiles: int | None = None,
        missing: str | float = "mean",
        indicator: bool | None = None,
    ) -> Self:
        """Fits the column to statistics of the training split; see `fit`."""
        fill: float | None = None
        if missing == "mean":
            fill = statistics.mean
        elif missing == "median":
            fill = statistics.median
        elif missing != "error":
            fill = float(missing)
        if indicator is None:
            indicator = statistics.present < statistics.rows
        column = cls(clip=clip, transform=transform, fill=fill, indicator=indicator)
        if quantiles is not None:
            buckets = np.unique(statistics.moved_quantiles).tolist()
        if buckets is not None:
            return dataclasses.replace(column, edges=tuple(map(float, buckets)))
        offset, divisor = _scaling(statistics, scale)
        return dataclasses.replace(column, offset=offset, divisor=divisor)

    @property
    def width(self) -> int:
        """Number of features of a row."""
        return (1 if self.edges is None else len(self.edges) + 1) + self.indicator

    @property
    def values_per_row(self) -> int:
        """Number of features of a row."""
        return self.width

    def parse(
        self, values: Sequence[Sequence[Any]], missing: Collection[str] = MISSING
    ) -> tuple[Numbers, list[ColumnProblem]]:
        """Numbers of raw values, float64 "n", and the rows of bad ones.

        Args:
            values: of the raw column, alone in a sequence.
            missing: texts of a missing number.
        """
        numbers, bad = as_numbers(values[0], missing)
        wrong = sorted({*bad.tolist(), *np.flatnonzero(self.outside(numbers)).tolist()})
        return numbers, [ColumnProblem("", wrong, "a number")] if wrong else []

    @property
    def takes_all(self) -> bool:
        """No number is outside of what the column takes, nor is a missing one."""
        return self.transform is None and self.fill is not None

    def outside(self, values: Numbers) -> npt.NDArray[np.bool_]:
        """Mask of numbers that the transform does not take, or that may not miss."""
        if self.takes_all:
            return np.zeros(len(values), np.bool_)
        missing = np.isnan(values)
        if self.transform is None:
            return missing
        filled = np.where(missing, 1.0 if self.fill is None else self.fill, values)
        lowest = {"log": 0.0, "log1p": -1.0}.get(self.transform or "", -np.inf)
        wrong = self._clipped(filled) <= lowest
        return wrong | missing if self.fill is None else wrong

    def transformed(self, values: Numbers) -> Numbers:
        """Numbers after filling, clipping and the transform, float64 "n"."""
        if self.fill is not None:
            missing = np.isnan(values)
            if missing.any():
                values = np.where(missing, self.fill, values)
        values = self._clipped(values)
        if self.transform is None:
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(values) if self.transform == "log" else np.log1p(values)

    def apply(self, values: Numbers) -> npt.NDArray[np.float32]:
        """Features of numbers, float32 "n width".

        Args:
            values: float64 "n", NaN where missing.
        """
        if self.edges is None:
            with np.errstate(over="ignore"):
                scaled = self.transformed(values) - self.offset
                scaled /= self.divisor
                columns = [scaled.astype(np.float32)[:, None]]
        else:
            columns = [one_hot(self.indices(values), len(self.edges) + 1)]
        if self.indicator:
            columns.append(np.isnan(values).astype(np.float32)[:, None])
        return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)

    def indices(self, values: Numbers) -> npt.NDArray[np.int64]:
        """Bucket of each number, in [0, len(edges)]."""
        edges = np.array(self.edges or (), np.float64)
        return np.searchsorted(edges, self.transformed(values), side="right")

    def to_json(self) -> dict[str, Any]:
        """The column as plain values."""
        fields = dataclasses.asdict(self)
        return {"name": "number", **fields, "sources": list(self.sources)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The column of the result of `to_json`, of this or an earlier format."""
        fields = {key: value for key, value in plain.items() if key != "name"}
        edges = fields["edges"]
        fields |= {
            "clip": tuple(fields["clip"]),
            "edges": None if edges is None else tuple(edges),
            "sources": tuple(fields.get("sources", ())),
        }
        return cls(**fields)

    def __str__(self) -> str:
        parts = [
            f"clip {list(self.clip)}" if self.clip != (None, None) else "",
            self.transform or "",
            f"{len(self.edges) + 1} buckets" if self.edges is not None else "",
            ""
            if self.edges is not None or (self.offset, self.divisor) == (0.0, 1.0)
            else f"(x - {self.offset:.6g}) / {self.divisor:.6g}",
            "" if self.fill is None or not self.indicator else f"fill {self.fill:.6g}",
            "indicator" if self.indicator else "",
        ]
        return ", ".join(filter(None, parts)) or "as it is"

    def _clipped(self, values: Numbers) -> Numbers:
        low, high = self.clip
        if low is None and high is None:
            return values
        return np.clip(values, low, high)


def _scaling(statistics: NumberStatistics, scale: str) -> tuple[float, float]:
    """Offset and divisor that scale transformed training numbers."""
    low, high = statistics.low, statistics.high
    if scale == "none":
        return 0.0, 1.0
    if low == high:
        return low, 1.0
    if scale == "minmax":
        return low, high - low
    return statistics.moved_mean, math.sqrt(statistics.moved_variance) or 1.0


def _inner(quantiles: int) -> list[float]:
    """Probabilities of the inner boundaries of equally filled buckets."""
    return np.linspace(0.0, 1.0, quantiles + 1)[1:-1].tolist()
