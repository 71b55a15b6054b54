"""Sketches of columns, from which plausible values are drawn."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.columns import (
    CategoryColumn,
    FittedColumns,
    LabelColumn,
    NumberColumn,
)
from specflow.config.sections.table import TableConfig
from specflow.config.sections.table_columns import (
    CategoryColumnConfig,
    NumberColumnConfig,
)
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.exploration.split_columns import SplitColumn, SplitColumns

__all__ = ["ColumnSketch", "declared_sketches", "fitted_sketches", "seen_sketches"]

_GRID = np.linspace(0.0, 1.0, 101)
_MOST_FREQUENCIES = 50
"""Number of different numbers up to which they are drawn by frequency."""
_MOST_DECIMALS = 6
_NONE: Mapping[str, Mapping[str, str]] = {}
_INDICATED = 0.05
"""Fraction of missing values of a fitted column with an indicator."""


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class ColumnSketch:
    """What is known of a column: quantiles, or values with frequencies, or an id."""

    name: str
    quantiles: npt.NDArray[np.float64] | None = None
    """At 0, 1, ... 100 percent."""
    values: Sequence[Any] = ()
    frequencies: Sequence[float] = ()
    """Of the values; empty if all are equal."""
    missing: float = 0.0
    """Fraction of missing values."""
    decimals: int = _MOST_DECIMALS
    has_lists: bool = False
    """Values are lists, whose items are separated by | in `values`."""

    def draw(self, rows: int, random: np.random.Generator) -> list[Any]:
        """Draws values, None where missing; each row's own for an id."""
        if self.quantiles is None and not len(self.values):
            return [f"{self.name} {row}" for row in range(rows)]
        if self.quantiles is None:
            weights = np.asarray(self.frequencies or [1.0] * len(self.values))
            places = random.choice(len(self.values), rows, p=weights / weights.sum())
            drawn = [self.values[place] for place in places.tolist()]
        else:
            numbers = np.interp(random.random(rows), _GRID, self.quantiles)
            numbers = np.round(numbers, self.decimals)
            drawn = [int(n) if not self.decimals else n for n in numbers.tolist()]
        is_missing = random.random(rows) < self.missing
        drawn = [
            None if absent else value
            for absent, value in zip(is_missing.tolist(), drawn, strict=True)
        ]
        return [_items(value) for value in drawn] if self.has_lists else drawn


def seen_sketches(
    columns: SplitColumns, pictures: Mapping[str, Mapping[str, str]] = _NONE
) -> list[ColumnSketch]:
    """Sketches of columns that were read: features, then labels, ids first.

    Args:
        columns: of a split.
        pictures: column of paths -> path of a picture in the file -> path to write.
    """
    ordered = [*columns.of_role("id"), *columns.of_role("feature")]
    ordered += columns.of_role("label")
    return [_seen(column, pictures.get(column.name, {})) for column in ordered]


def fitted_sketches(fitted: FittedColumns, ids: Sequence[str]) -> list[ColumnSketch]:
    """Sketches of fitted columns, without the files that they were fitted to.

    Raises:
        DataError: a column has a kind whose values are in the files alone.
    """
    features = [_fitted(name, column) for name, column in fitted.columns.items()]
    labels = []
    for name, label in fitted.labels.items():
        if label.kind == "class":
            drawn = ColumnSketch(name, None, label.classes, label.counts)
        elif label.classes:
            numbers = [int(text) for text in label.classes]
            drawn = ColumnSketch(name, None, numbers, label.counts)
        else:
            quantiles = _untransformed(_normal(label.offset, label.divisor), label)
            places = 0 if label.kind == "integer" else _MOST_DECIMALS
            drawn = ColumnSketch(name, quantiles, decimals=places)
        labels.append(drawn)
    return [*map(ColumnSketch, ids), *features, *labels]


def declared_sketches(config: TableConfig) -> list[ColumnSketch]:
    """Sketches of declared columns, without any file.

    Raises:
        DataError: a column of labels or features is not declared.
    """
    labels, ids = config.labels, config.id
    names = [name for name in config.features or config.columns if name not in labels]
    absent = [name for name in [*names, *labels] if name not in config.columns]
    if absent or not names:
        raise DataError(
            *(
                Diagnostic(
                    f"data.columns.{name}",
                    "is not declared, and data.files are missing",
                    expected="number or category, to draw values of",
                    code="table-column",
                )
                for name in absent or ["*"]
            )
        )
    sketches = [ColumnSketch(name) for name in ids if name not in names]
    for name in [*names, *labels]:
        declared = config.columns[name]
        if isinstance(declared, NumberColumnConfig):
            sketches.append(_declared_number(name, declared))
        elif isinstance(declared, CategoryColumnConfig):
            words = declared.vocabulary or list("abcde")
            sketches.append(ColumnSketch(name, values=words))
        elif declared != "ignore":
            raise _no_values(name, getattr(declared, "name", str(declared)))
    return sketches


def _seen(column: SplitColumn, pictures: Mapping[str, str]) -> ColumnSketch:
    if column.role == "id":
        return ColumnSketch(column.name)
    if column.examples:
        return ColumnSketch(
            column.name, values=[pictures.get(cell, cell) for cell in column.examples]
        )
    if column.numbers is None:
        counts = sorted(column.counts.items())
        missing = 1.0 - sum(count for _, count in counts) / max(1, len(column))
        texts, frequencies = zip(*counts, strict=True) if counts else ((), ())
        return ColumnSketch(
            column.name,
            None,
            texts or ("",),
            frequencies or (1.0,),
            missing=missing,
            has_lists=column.has_lists,
        )
    present = column.numbers[~np.isnan(column.numbers)]
    missing = 1.0 - present.size / max(1, column.numbers.size)
    decimals = next(
        (
            places
            for places in range(_MOST_DECIMALS)
            if np.allclose(np.round(present, places), present, rtol=1e-12, atol=0)
        ),
        _MOST_DECIMALS,
    )
    values, frequencies = np.unique(present, return_counts=True)
    if 0 < len(values) <= _MOST_FREQUENCIES:
        numbers = [number if decimals else int(number) for number in values.tolist()]
        return ColumnSketch(
            column.name, None, numbers, frequencies.tolist(), missing=missing
        )
    return ColumnSketch(
        column.name,
        np.quantile(present, _GRID) if present.size else _normal(0.0, 1.0),
        missing=missing,
        decimals=decimals,
    )


def _items(text: Any) -> list[Any]:
    """Items of a list, as numbers if all are."""
    items: list[Any] = text.split("|") if text else []
    try:
        return [float(item) for item in items]
    except ValueError:
        return items


def _fitted(name: str, column: Any) -> ColumnSketch:
    if isinstance(column, CategoryColumn):
        words = column.vocabulary or tuple(f"{name} {n}" for n in range(column.buckets))
        return ColumnSketch(name, values=words)
    if not isinstance(column, NumberColumn):
        raise _no_values(name, column.to_json()["name"])
    quantiles = _normal(column.offset, column.divisor)
    if column.edges is not None:
        room = (column.edges[-1] - column.edges[0]) / max(1, len(column.edges)) or 1.0
        ends = column.edges[0] - room, column.edges[-1] + room
        quantiles = np.interp(_GRID, [0.0, 1.0], ends)
    quantiles = _untransformed(quantiles, column)
    low, high = column.clip
    quantiles = np.clip(
        quantiles, -np.inf if low is None else low, np.inf if high is None else high
    )
    missing = _INDICATED if column.indicator and column.fill is not None else 0.0
    return ColumnSketch(name, quantiles, missing=missing)


def _declared_number(name: str, declared: NumberColumnConfig) -> ColumnSketch:
    low, high = declared.clip
    if declared.buckets is not None:
        first, last = declared.buckets[0], declared.buckets[-1]
        low, high = 1.5 * first - 0.5 * last - 1, 1.5 * last - 0.5 * first + 1
    if low is not None and high is not None:
        return ColumnSketch(name, np.interp(_GRID, [0.0, 1.0], [low, high]))
    quantiles = _normal(0.0, 1.0)
    if declared.transform is not None:
        quantiles = np.exp(quantiles)
    quantiles = quantiles if low is None else low + quantiles - quantiles[0]
    quantiles = quantiles if high is None else high + quantiles - quantiles[-1]
    return ColumnSketch(name, quantiles)


def _untransformed(
    quantiles: npt.NDArray[np.float64], column: NumberColumn | LabelColumn
) -> npt.NDArray[np.float64]:
    """Quantiles of the numbers whose transform has these quantiles."""
    if column.transform is None:
        return quantiles
    return np.expm1(quantiles) if column.transform == "log1p" else np.exp(quantiles)


def _normal(mean: float, std: float) -> npt.NDArray[np.float64]:
    """Quantiles of a normal distribution, whose ends are those of 0.5 and 99.5 %."""
    inside = np.clip(_GRID, 0.005, 0.995)
    normal = statistics.NormalDist()
    return mean + std * np.array([normal.inv_cdf(share) for share in inside])


def _no_values(name: str, kind: str) -> DataError:
    return DataError(
        Diagnostic(
            f"column {name}",
            f"is of kind {kind}, whose values are in the files alone",
            expected="numbers or categories, where data.files are missing",
            code="table-kind",
        )
    )
