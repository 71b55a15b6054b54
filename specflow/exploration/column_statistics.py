"""Statistics of the columns of each split."""

import collections
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.columns.exact_sum import exact_partials
from specflow.exploration.split_columns import SplitColumn, SplitColumns

__all__ = [
    "QUANTILES",
    "ColumnStatistics",
    "DataStatistics",
    "SplitStatistics",
    "data_statistics",
]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BINS = 24
_MOST_TOP = 10
_OF_NUMBERS = ("mean", "std", "min", "quantiles", "max")


@dataclasses.dataclass(frozen=True, slots=True)
class SplitStatistics:
    """Statistics of one column in one split."""

    count: int
    """Number of values that are not missing."""
    missing: int
    distinct: int
    mean: float | None = None
    std: float | None = None
    """Standard deviation of the values themselves (divisor n)."""
    min: float | None = None
    quantiles: tuple[float, ...] = ()
    """At 5, 25, 50, 75 and 95 percent, interpolated linearly."""
    max: float | None = None
    top: tuple[tuple[str, int], ...] = ()
    """The most frequent values, or sizes of pictures, and their number; empty where
    all values differ."""
    histogram: tuple[int, ...] = ()
    """Number of values in each bin; empty for texts."""

    def to_json(self) -> dict[str, Any]:
        """The statistics as plain values, without those that have no meaning."""
        plain = dataclasses.asdict(self)
        if self.mean is None:
            return {
                key: value
                for key, value in plain.items()
                if key not in (*_OF_NUMBERS, "histogram")
            }
        names = (f"{round(100 * q)}%" for q in QUANTILES)
        return plain | {"quantiles": dict(zip(names, self.quantiles, strict=True))}


@dataclasses.dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """Statistics of one column in every split."""

    name: str
    role: str
    kind: str
    by_split: Mapping[str, SplitStatistics]
    edges: tuple[float, ...] = ()
    """Edges of the bins, which all splits share; empty for texts."""

    def to_json(self) -> dict[str, Any]:
        """The statistics as plain values."""
        plain: dict[str, Any] = {
            "column": self.name,
            "role": self.role,
            "kind": self.kind,
            **({"edges": list(self.edges)} if self.edges else {}),
        }
        return plain | {
            "splits": {name: each.to_json() for name, each in self.by_split.items()}
        }


@dataclasses.dataclass(frozen=True, slots=True)
class DataStatistics:
    """Statistics of all columns, labels first."""

    rows: Mapping[str, int]
    """Number of rows of each split."""
    every: Mapping[str, int]
    """Every so many rows of a split were read; 1: all."""
    columns: tuple[ColumnStatistics, ...]

    def to_json(self) -> dict[str, Any]:
        """The statistics as plain values."""
        return {
            "rows": dict(self.rows),
            "read_every": dict(self.every),
            "columns": [column.to_json() for column in self.columns],
        }


def data_statistics(splits: Mapping[str, SplitColumns]) -> DataStatistics:
    """Computes the statistics of all columns.

    Args:
        splits: name -> columns of each split.

    >>> numbers = SplitColumn("x", "feature", "number", np.array([1.0, 3.0, np.nan]))
    >>> found = data_statistics({"train": SplitColumns(3, 1, (numbers,))})
    >>> of_train = found.columns[0].by_split["train"]
    >>> of_train.mean, of_train.std, of_train.missing
    (2.0, 1.0, 1)
    """
    by_name: dict[tuple[str, str], dict[str, SplitColumn]] = {}
    for split, columns in splits.items():
        for column in columns.columns:
            by_name.setdefault((column.role, column.name), {})[split] = column
    return DataStatistics(
        rows={name: split.rows for name, split in splits.items()},
        every={name: split.every for name, split in splits.items()},
        columns=tuple(map(_of_column, by_name.values())),
    )


def _of_column(by_split: Mapping[str, SplitColumn]) -> ColumnStatistics:
    first = next(iter(by_split.values()))
    edges = _edges([c.numbers for c in by_split.values() if c.numbers is not None])
    return ColumnStatistics(
        name=first.name,
        role=first.role,
        kind=first.kind,
        by_split={
            split: _of_texts(column)
            if column.numbers is None
            else _of_numbers(column.numbers, edges)
            for split, column in by_split.items()
        },
        edges=tuple(edges),
    )


def _of_texts(column: SplitColumn) -> SplitStatistics:
    counts = column.counts
    present = counts.total()
    # The most frequent sizes of pictures, whose texts are digests.
    top = _top(collections.Counter(column.sizes) if column.sizes else counts)
    return SplitStatistics(
        count=present, missing=len(column) - present, distinct=len(counts), top=top
    )


def _of_numbers(
    numbers: npt.NDArray[np.float64], edges: Sequence[float]
) -> SplitStatistics:
    present = numbers[~np.isnan(numbers)]
    missing = numbers.size - present.size
    if not present.size:
        return SplitStatistics(0, missing, 0)
    # Rounded once, so that the order of the rows does not matter.
    mean = math.fsum(exact_partials(present.ravel())) / present.size
    variance = math.fsum(exact_partials((present - mean).ravel() ** 2)) / present.size
    values, frequencies = np.unique(present, return_counts=True)
    largest = np.argsort(-frequencies, kind="stable")[:_MOST_TOP]
    top = {f"{values[place]:.12g}": int(frequencies[place]) for place in largest}
    return SplitStatistics(
        count=present.size,
        missing=missing,
        distinct=len(values),
        mean=mean,
        std=math.sqrt(variance),
        min=float(values[0]),
        quantiles=tuple(map(float, np.quantile(present, QUANTILES))),
        max=float(values[-1]),
        top=_top(collections.Counter(top)) if frequencies.max() > 1 else (),
        histogram=tuple(np.histogram(present, bins=np.array(edges))[0].tolist()),
    )


def _edges(arrays: Iterable[npt.NDArray[np.float64]]) -> list[float]:
    """Edges of the bins of a histogram over all splits."""
    present = [array[~np.isnan(array)] for array in arrays]
    present = [array for array in present if array.size]
    if not present:
        return []
    low = min(float(array.min()) for array in present)
    high = max(float(array.max()) for array in present)
    every = np.unique(np.concatenate([array[:100_000].ravel() for array in present]))
    if len(every) <= _BINS and (every == np.rint(every)).all() and high - low < _BINS:
        return (np.arange(low, high + 2) - 0.5).tolist()  # A bin for each integer.
    edges = np.unique(np.linspace(low, high, _BINS + 1))
    return edges.tolist() if len(edges) > 1 else [low - 0.5, low + 0.5]


def _top(counts: collections.Counter[str]) -> tuple[tuple[str, int], ...]:
    """The most frequent values; equally frequent ones in their own order."""
    if not counts or max(counts.values()) == 1:
        return ()
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(ordered[:_MOST_TOP])
