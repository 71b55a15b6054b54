"""Dates and times of raw values, on the clock of one zone."""

import datetime
import zoneinfo
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.columns.raw_values import MISSING, as_number

__all__ = ["Times", "as_times", "zone_of"]

Times = npt.NDArray[np.datetime64]
"""Times of microseconds, NaT where missing."""
_UTC = datetime.UTC
_UNIX = {"unix": 1.0, "unix_ms": 1e3}
"""Formats of numbers -> units of a second."""


def as_times(
    values: Sequence[Any],
    *,
    zone: str = "UTC",
    format: str | None = None,
    missing: Collection[str] = MISSING,
) -> tuple[Times, npt.NDArray[np.int64]]:
    """Returns raw values as times on the clock of a zone, and the rows of bad ones.

    Times that name a zone or an offset are converted; others are of the zone's clock
    already.

    Args:
        values: dates and times, or their texts.
        zone: name of a time zone, such as `Europe/Rome`.
        format: of texts, as `datetime.strptime` reads it; `unix` or `unix_ms`: numbers
            are seconds or milliseconds since 1970 in UTC; None: ISO 8601.
        missing: texts of a missing value.

    Raises:
        ValueError: there is no such zone.

    >>> as_times(["2026-01-31", "2026-07-01T12:00Z", ""], zone="Europe/Rome")[0]
    array(['2026-01-31T00:00:00.000000', '2026-07-01T14:00:00.000000',
                                   'NaT'], dtype='datetime64[us]')
    """
    if isinstance(values, np.ndarray) and values.dtype.kind == "M" and format is None:
        return values.astype("datetime64[us]"), np.array([], np.int64)
    clock = zone_of(zone)
    rows = values.tolist() if isinstance(values, np.ndarray) else values
    rows = [value if _is_hashable(value) else str(value) for value in rows]
    known = {value: _time(value, clock, format, missing) for value in set(rows)}
    found = [known[value] for value in rows]
    bad = [row for row, time in enumerate(found) if time is None]
    texts = np.array(
        [np.datetime64("NaT", "us") if time is None else time for time in found],
        "datetime64[us]",
    )
    return texts, np.array(bad, np.int64)


def _is_hashable(value: Any) -> bool:
    """False for lists and objects of JSON, which are no times."""
    return not isinstance(value, list | dict | np.ndarray)


def zone_of(name: str) -> datetime.tzinfo:
    """Returns a time zone.

    Raises:
        ValueError: there is none of that name; the message says what to do.
    """
    if name == "UTC":
        return _UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"no time zone {name!r} is known here: names such as Europe/Rome come from "
            "the database of the system, or of the package tzdata"
        ) from error


def _time(
    value: Any, clock: datetime.tzinfo, format: str | None, missing: Collection[str]
) -> Any:
    """One value as a datetime64; NaT if it is missing, None if it is no time."""
    if value is None or value != value:
        return np.datetime64("NaT", "us")
    if isinstance(value, str):
        value = value.strip()
        if value in missing:
            return np.datetime64("NaT", "us")
    try:
        time = _parsed(value, format)
        if isinstance(time, np.datetime64):
            return time
        if time.tzinfo is not None:
            time = time.astimezone(clock).replace(tzinfo=None)
        return np.datetime64(time, "us")
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None


def _parsed(value: Any, format: str | None) -> Any:
    if format in _UNIX:
        number = as_number(value)
        if number is None:
            raise ValueError("no number")
        microseconds = round(number * (1e6 / _UNIX[format]))
        epoch = datetime.datetime(1970, 1, 1, tzinfo=_UTC)
        return epoch + datetime.timedelta(microseconds=microseconds)
    if isinstance(value, np.datetime64):
        return value.astype("datetime64[us]")
    if isinstance(value, str):
        if format is not None:
            return datetime.datetime.strptime(value, format)
        return datetime.datetime.fromisoformat(value)
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return datetime.datetime(value.year, value.month, value.day)
    return value
