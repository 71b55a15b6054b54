"""Columns of dates, against Python's calendar and its time zones."""

import datetime
import json
import math
import zoneinfo

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from specflow.columns.date_column import PERIODS, DateColumn, part_values
from specflow.columns.date_values import as_times

TIMES = st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2200, 1, 1))
PYTHON = {
    "year": lambda time: time.year,
    "quarter": lambda time: (time.month + 2) // 3,
    "month": lambda time: time.month,
    "week": lambda time: time.isocalendar().week,
    "day": lambda time: time.day,
    "weekday": lambda time: time.weekday(),
    "day_of_year": lambda time: time.timetuple().tm_yday,
    "hour": lambda time: time.hour,
    "minute": lambda time: time.minute,
    "second": lambda time: time.second,
}


@hypothesis.given(st.lists(TIMES, min_size=1, max_size=20))
def test_parts_are_those_of_the_calendar(times):
    array = np.array(times, "datetime64[us]")
    for part, value in PYTHON.items():
        assert part_values(array, part).tolist() == [value(time) for time in times]
    for part, (first, size) in PERIODS.items():
        values = part_values(array, part)
        assert (first <= values).all()
        assert (values < first + size).all()


@hypothesis.given(st.lists(TIMES, min_size=1, max_size=5))
def test_times_with_a_zone_are_read_on_one_clock(times):
    rome, tokyo = zoneinfo.ZoneInfo("Europe/Rome"), zoneinfo.ZoneInfo("Asia/Tokyo")
    instants = [time.replace(tzinfo=tokyo) for time in times]
    expected = [time.astimezone(rome).replace(tzinfo=None) for time in instants]
    for values in (instants, [time.isoformat() for time in instants]):
        read, bad = as_times(values, zone="Europe/Rome")
        assert read.tolist() == expected
        assert not bad.size
    # Others are of that clock already, whatever their form.
    for values in (times, [str(time) for time in times], np.array(times, "M8[us]")):
        assert as_times(values, zone="Europe/Rome")[0].tolist() == times


@pytest.mark.parametrize(
    ("value", "format", "time"),
    [
        ("31.01.2026", "%d.%m.%Y", "2026-01-31"),
        (1_700_000_000, "unix", "2023-11-14T22:13:20"),
        ("1700000000.5", "unix", "2023-11-14T22:13:20.5"),
        (1_700_000_000_250, "unix_ms", "2023-11-14T22:13:20.25"),
        (datetime.date(2026, 1, 31), None, "2026-01-31"),
        ("2026-01-31 12:30:00+02:00", None, "2026-01-31T10:30"),
        (" NA ", None, "NaT"),
        (None, "unix", "NaT"),
        (float("nan"), None, "NaT"),
    ],
)
def test_dates_have_several_forms(value, format, time):
    times, bad = as_times([value], format=format)
    np.testing.assert_array_equal(times, np.array([time], "datetime64[us]"))
    assert not bad.size


@pytest.mark.parametrize("value", ["2026-13-01", "31.01.2026", 7, "now", ["2026"]])
def test_anything_else_is_no_date(value):
    times, bad = as_times(["2026-01-31", value])
    assert np.isnat(times[1])
    assert bad.tolist() == [1]


def test_features_are_circles_indices_or_scaled_numbers():
    texts = ["2024-02-29T06:00", "2025-12-31T18:00", None]
    times, _ = as_times(texts)
    cyclic = DateColumn.fit(times, parts=["hour", "year"], since="2024-01-01")
    # Sine and cosine of a quarter and of three quarters; years and days to -1 and 1.
    expected = [[1, 0, -1, -1, 0], [-1, 0, 1, 1, 0], [0, 0, 0, 0, 1]]
    np.testing.assert_allclose(cyclic.apply(times), expected, atol=1e-7)
    assert cyclic.scales["since"][0] == pytest.approx((59.25 + 730.75) / 2)
    one_hot = DateColumn.fit(times, parts=["month"], encoding="one_hot")
    assert one_hot.apply(times).argmax(1).tolist() == [1, 11, 12]
    assert one_hot.indices(times).tolist() == [1, 11, -1]
    scaled = DateColumn.fit(times, parts=["day"], encoding="standardize")
    assert scaled.apply(times)[:, 0].tolist() == [-1, 1, 0]


def test_hours_are_a_default_part_where_a_training_time_has_one():
    days, _ = as_times(["2026-01-31", "2026-02-01"])
    assert DateColumn.fit(days).parts == ("year", "month", "day", "weekday")
    assert DateColumn.fit(days + np.timedelta64(60, "m")).parts[-1] == "hour"


@hypothesis.given(
    st.lists(TIMES, min_size=1, max_size=30), st.randoms(use_true_random=False)
)
def test_the_order_of_rows_changes_no_bit_and_a_fit_survives_json(times, random):
    settings = {"encoding": "standardize", "since": "2000-01-01"}
    column = DateColumn.fit(np.array(times, "M8[us]"), **settings)
    shuffled = np.array(random.sample(times, len(times)), "M8[us]")
    assert DateColumn.fit(shuffled, **settings) == column
    plain = json.loads(json.dumps(column.to_json()))
    assert DateColumn.from_json(plain) == column
    # NumPy in float64.
    days = [(time - datetime.datetime(2000, 1, 1)).total_seconds() for time in times]
    mean, spread = np.mean(days) / 86_400, np.std(days) / 86_400
    if spread > 1e-3:
        offset, divisor = column.scales["since"]
        assert math.isclose(offset, mean, rel_tol=1e-9, abs_tol=1e-6)
        assert math.isclose(divisor, spread, rel_tol=1e-9)
