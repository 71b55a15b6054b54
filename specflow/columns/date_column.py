"""A column of dates or times: parts of the calendar and the clock."""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from specflow.columns.column_problem import ColumnProblem
from specflow.columns.date_values import Times, as_times
from specflow.columns.number_column import NumberColumn
from specflow.columns.one_hot import one_hot
from specflow.columns.raw_values import MISSING

__all__ = ["PERIODS", "DateColumn", "DatePart", "part_values"]

DatePart: TypeAlias = Literal[
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "weekday",
    "day_of_year",
    "hour",
    "minute",
    "second",
]
PERIODS: dict[str, tuple[int, int]] = {
    "quarter": (1, 4),
    "month": (1, 12),
    "week": (1, 53),
    "day": (1, 31),
    "weekday": (0, 7),
    "day_of_year": (1, 366),
    "hour": (0, 24),
    "minute": (0, 60),
    "second": (0, 60),
}
"""Part -> its first value, and the number of its values; a year has no period."""


_BY_DEFAULT: tuple[DatePart, ...] = ("year", "month", "day", "weekday")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DateColumn:
    """Fitted preprocessing of dates and times.

    Features are those of each part in their order, then the scaled days since a date,
    then an indicator that is 1 where the time is missing; all others are 0 there.

    >>> column = DateColumn(parts=("weekday",), encoding="one_hot")
    >>> times, _ = column.parse([["2026-02-01"]])
    >>> column.apply(times)
    array([[0., 0., 0., 0., 0., 0., 1.]], dtype=float32)
    """

    parts: tuple[DatePart, ...]
    encoding: Literal["cyclic", "one_hot", "standardize"] = "cyclic"
    """Parts with a period are a sine and a cosine, one-hot, or scaled numbers. A year
    is a scaled number."""
    since: str | None = None
    """Date from which days are counted, as a scaled feature; None: no such feature."""
    scales: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    """Scaled part, or `since` -> offset and divisor."""
    zone: str = "UTC"
    """Time zone of the clock."""
    format: str | None = None
    """Format of texts; None: ISO 8601."""
    missing: Literal["zero", "error"] = "zero"
    indicator: bool = False
    sources: tuple[str, ...] = ()
    """The raw column; empty: it has the name of this one."""
    embedding: ClassVar[None] = None

    @classmethod
    def fit(
        cls,
        times: Times,
        *,
        parts: Sequence[DatePart] | None = None,
        encoding: Literal["cyclic", "one_hot", "standardize"] = "cyclic",
        since: str | None = None,
        indicator: bool | None = None,
        **settings: Any,
    ) -> Self:
        """Fits the column to times of the training split.

        Args:
            times: NaT where missing; at least one is not.
            parts: None: year, month, day and weekday, and the hour if one is not 0.
            encoding: of parts with a period.
            since: date from which days are counted.
            indicator: None: if a training time is missing.
            **settings: further fields, which are not fitted.
        """
        statistics = cls.statistics(
            parts=parts, encoding=encoding, since=since, **settings
        )
        while statistics.passes_left:
            statistics.add(times)
            statistics.end_pass()
        return cls.fitted(
            statistics,
            parts=parts,
            encoding=encoding,
            since=since,
            indicator=indicator,
            **settings,
        )

    @classmethod
    def statistics(
        cls, *, parts: Sequence[DatePart] | None = None, **settings: Any
    ) -> "DateStatistics":
        """The empty statistics that `fitted` takes, to be filled block by block."""
        return DateStatistics(
            cls(
                parts=(*_BY_DEFAULT, "hour") if parts is None else tuple(parts),
                **settings,
            )
        )

    @classmethod
    def fitted(
        cls,
        statistics: "DateStatistics",
        *,
        parts: Sequence[DatePart] | None = None,
        indicator: bool | None = None,
        **settings: Any,
    ) -> Self:
        """Fits the column to statistics of the training split; see `fit`."""
        if parts is None:
            parts = [*_BY_DEFAULT, *(["hour"] if statistics.has_hour else [])]
        missing = statistics.present < statistics.rows
        column = cls(
            parts=tuple(parts),
            indicator=missing if indicator is None else indicator,
            **settings,
        )
        scales = {}
        for name in column.scaled:
            number = NumberColumn.fitted(statistics.numbers[name])
            scales[name] = (number.offset, number.divisor)
        return dataclasses.replace(column, scales=scales)

    @property
    def scaled(self) -> tuple[str, ...]:
        """Parts, and `since`, that are scaled numbers."""
        scaled = [
            part
            for part in self.parts
            if part not in PERIODS or self.encoding == "standardize"
        ]
        return (*scaled, *(["since"] if self.since is not None else []))

    @property
    def width(self) -> int:
        """Number of features of a row."""
        widths = [
            1
            if part in self.scaled
            else 2
            if self.encoding == "cyclic"
            else PERIODS[part][1]
            for part in self.parts
        ]
        return sum(widths) + (self.since is not None) + self.indicator

    @property
    def values_per_row(self) -> int:
        """Number of features of a row."""
        return self.width

    @property
    def size(self) -> int:
        """Number of indices of the only part."""
        return PERIODS[self.parts[0]][1]

    def parse(
        self, values: Sequence[Sequence[Any]], missing: Collection[str] = MISSING
    ) -> tuple[Times, list[ColumnProblem]]:
        """Times of raw values, and the rows of bad ones.

        Args:
            values: of the raw column, alone in a sequence.
            missing: texts of a missing value.
        """
        times, bad = as_times(
            values[0], zone=self.zone, format=self.format, missing=missing
        )
        rows = bad.tolist()
        if self.missing == "error":
            rows = np.flatnonzero(np.isnat(times)).tolist()
        return times, [ColumnProblem("", rows, self.expected)] if rows else []

    @property
    def expected(self) -> str:
        """Description of valid values."""
        if self.format is None:
            return "a date or a time, such as 2026-01-31T12:00"
        if self.format.startswith("unix"):
            unit = "milliseconds" if self.format == "unix_ms" else "seconds"
            return f"a number: {unit} since 1970"
        return f"a time of the format {self.format}"

    def numbers(self, times: Times, name: str) -> npt.NDArray[np.float64]:
        """Values of a part, or days since the date."""
        if name != "since":
            return part_values(times, name).astype(np.float64)
        (start,), _ = as_times([self.since], zone=self.zone)
        return (times - start) / np.timedelta64(1, "D")

    def indices(self, times: Times) -> npt.NDArray[np.int64]:
        """Index of the only part, "n"; -1 where the time is missing."""
        (part,) = self.parts
        indices = part_values(_filled(times), part) - PERIODS[part][0]
        return np.where(np.isnat(times), -1, indices)

    def apply(self, times: Times) -> npt.NDArray[np.float32]:
        """Features of times, float32 "n width"."""
        missing = np.isnat(times)
        filled = _filled(times)
        columns: list[npt.NDArray[np.float32]] = []
        for part in (*self.parts, *(["since"] if self.since is not None else [])):
            if part in self.scaled:
                offset, divisor = self.scales[part]
                scaled = (self.numbers(filled, part) - offset) / divisor
                columns.append(scaled.astype(np.float32)[:, None])
                continue
            first, period = PERIODS[part]
            places = part_values(filled, part) - first
            columns.append(
                one_hot(places, period)
                if self.encoding == "one_hot"
                else _circle(period)[places]
            )
        features = np.concatenate(columns, axis=1)
        features[missing] = 0.0
        if not self.indicator:
            return features
        return np.concatenate([features, missing[:, None].astype(np.float32)], axis=1)

    def to_json(self) -> dict[str, Any]:
        """The column as plain values."""
        fields = dataclasses.asdict(self)
        return {
            "name": "date",
            **fields,
            "parts": list(self.parts),
            "scales": {name: list(scale) for name, scale in self.scales.items()},
            "sources": list(self.sources),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The column of the result of `to_json`."""
        fields = {key: value for key, value in plain.items() if key != "name"}
        fields["parts"] = tuple(fields["parts"])
        fields["sources"] = tuple(fields["sources"])
        fields["scales"] = {
            name: (offset, divisor)
            for name, (offset, divisor) in fields["scales"].items()
        }
        return cls(**fields)

    def __str__(self) -> str:
        parts = [
            f"{', '.join(self.parts)} ({self.encoding})" if self.parts else "",
            f"days since {self.since}" if self.since is not None else "",
            self.zone if self.zone != "UTC" else "",
            "indicator" if self.indicator else "",
        ]
        return ", ".join(filter(None, parts))


class DateStatistics:
    """Statistics of the scaled parts of times, gathered block by block.

    Args:
        column: has all parts that may be features.
    """

    def __init__(self, column: DateColumn):
        self._column = column
        self.numbers = {name: NumberColumn.statistics() for name in column.scaled}
        """Scaled part, or `since` -> its statistics."""
        self.rows = self.present = 0
        """Number of rows, and of times that are not missing."""
        self.has_hour = False
        """True if an hour is not 0."""
        self._passes = 0

    @property
    def passes_left(self) -> int:
        """Number of passes over all times that are still needed."""
        own = 1 - self._passes
        return max([own, *(each.passes_left for each in self.numbers.values())])

    def add(self, times: Times) -> None:
        """Adds a block of times, NaT where missing."""
        present = times[~np.isnat(times)]
        if not self._passes:
            self.rows += len(times)
            self.present += len(present)
            self.has_hour |= bool((part_values(present, "hour") != 0).any())
        for name, statistics in self.numbers.items():
            statistics.add(self._column.numbers(present, name))

    def end_pass(self) -> None:
        """Ends a pass over all times."""
        self._passes += 1
        for statistics in self.numbers.values():
            statistics.end_pass()


def part_values(times: Times, part: str) -> npt.NDArray[np.int64]:
    """Values of a part of times, int64 "n"; weekdays are 0 (Monday) to 6.

    >>> part_values(np.array(["2024-12-31T23:05"], "datetime64[us]"), "week")
    array([1])
    """
    return _PARTS[part](times)


def _days(times: Times) -> npt.NDArray[np.int64]:
    return times.astype("datetime64[D]").astype(np.int64)


def _years(times: Times) -> npt.NDArray[np.int64]:
    return times.astype("datetime64[Y]").astype(np.int64) + 1970


def _months(times: Times) -> npt.NDArray[np.int64]:
    return times.astype("datetime64[M]").astype(np.int64) % 12 + 1


def _weekdays(times: Times) -> npt.NDArray[np.int64]:
    return (_days(times) + 3) % 7  # 1970 began on a Thursday.


def _day_of(times: Times, unit: str) -> npt.NDArray[np.int64]:
    starts = times.astype(f"datetime64[{unit}]").astype("datetime64[D]")
    return _days(times) - starts.astype(np.int64) + 1


def _weeks(times: Times) -> npt.NDArray[np.int64]:
    """ISO weeks: that of the Thursday."""
    days = _days(times) - _weekdays(times) + 3
    return (_day_of(days.astype("datetime64[D]"), "Y") - 1) // 7 + 1


def _clock(per_day: int, wrap: int) -> Callable[[Times], npt.NDArray[np.int64]]:
    def values(times: Times) -> npt.NDArray[np.int64]:
        seconds = times.astype("datetime64[s]").astype(np.int64) % 86_400
        return seconds // (86_400 // per_day) % wrap

    return values


_PARTS: dict[str, Callable[[Times], npt.NDArray[np.int64]]] = {
    "year": _years,
    "quarter": lambda times: (_months(times) - 1) // 3 + 1,
    "month": _months,
    "week": _weeks,
    "day": lambda times: _day_of(times, "M"),
    "weekday": _weekdays,
    "day_of_year": lambda times: _day_of(times, "Y"),
    "hour": _clock(24, 24),
    "minute": _clock(1_440, 60),
    "second": _clock(86_400, 60),
}


def _filled(times: Times) -> Times:
    return np.where(np.isnat(times), np.datetime64(0, "us"), times)


def _circle(period: int) -> npt.NDArray[np.float32]:
    """Sine and cosine of each value, float32 "period 2"."""
    angles = [2.0 * math.pi * place / period for place in range(period)]
    return np.array([[math.sin(a), math.cos(a)] for a in angles], np.float32)
