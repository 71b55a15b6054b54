"""Kinds of columns that are inferred, in every format of files."""

import datetime
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from specflow import DataError
from specflow.config.sections.table import TableConfig
from specflow.data import build_data

DAYS = [datetime.date(2026, 1, 1) + datetime.timedelta(days) for days in range(40)]
ROME = pa.timestamp("us", "Europe/Rome")


def kinds_of(path, rows, types=None, **settings):
    """Kind and description of each column of rows written to a file."""
    names = list(rows[0])
    if path.suffix == ".parquet":
        columns = {
            name: pa.array([row[name] for row in rows], (types or {}).get(name))
            for name in names
        }
        pyarrow.parquet.write_table(pa.table(columns), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [",".join(str(row[name]) for name in names) for row in rows]
        path.write_text("\n".join([",".join(names), *lines]))
    columns = build_data(
        TableConfig(files=[str(path)], labels=["y"], **settings)
    ).columns
    assert columns is not None
    return {
        name: f"{column.to_json()['name']}: {column}"
        for name, column in columns.columns.items()
    }


def test_texts_that_are_dates_are_dates(tmp_path):
    rows = [
        {
            "day": "" if number == 3 else day,
            "time": f"{day}T0{number % 10}:30:00+02:00",
            "code": f"{day}x",
            "year": day.year,
            "y": number % 2,
        }
        for number, day in enumerate(DAYS)
    ]
    kinds = kinds_of(tmp_path / "t.csv", rows)
    calendar = "date: year, month, day, weekday"
    assert kinds["time"] == f"{calendar}, hour (cyclic)"
    assert kinds["day"].startswith(f"{calendar} (cyclic)")
    assert kinds["code"].startswith("category: ")
    assert kinds["year"].startswith("number: ")


def test_times_and_lists_of_texts_have_kinds_in_parquet(tmp_path):
    rows = [
        {
            "day": day,
            "time": datetime.datetime(2026, 7, 1, 1, tzinfo=datetime.UTC),
            "tags": ["a", "b"][: number % 3] or None,
            "y": number % 2,
        }
        for number, day in enumerate(DAYS)
    ]
    kinds = kinds_of(tmp_path / "t.parquet", rows, {"time": ROME})
    assert kinds["day"] == "date: year, month, day, weekday (cyclic)"
    assert kinds["time"] == "date: year, month, day, weekday, hour (cyclic)"
    assert kinds["tags"].startswith("set: 2 categories, 1 bucket of others, missing")
    texts = [
        {**row, "day": str(row["day"]), "time": "2026-07-01T01:00Z"} for row in rows
    ]
    assert kinds_of(tmp_path / "t.jsonl", texts) == kinds


def test_lists_of_numbers_have_to_be_declared(tmp_path):
    rows = [{"v": [number, 1.5], "y": number % 2} for number in range(40)]
    path = tmp_path / "t.jsonl"
    with pytest.raises(DataError, match="holds list") as raised:
        kinds_of(path, rows)
    hint = "A list of numbers: data.columns.v={name: number, size: 2}. Of categories: "
    assert f"{hint}data.columns.v=set." in str(raised.value)
    declared = {"v": {"name": "number", "size": 2}}
    kinds = kinds_of(path, rows, columns=declared)
    assert kinds["v"].startswith("vector: 2 numbers")


def test_nanoseconds_are_read_as_microseconds(tmp_path):
    """As pandas writes times; Python has no nanoseconds."""
    first = np.datetime64("2026-01-01T05:00:00.123456789", "ns")
    times = first + np.arange(40) * np.timedelta64(3_600_000_000_001, "ns")
    zoned = pa.array(times, pa.timestamp("ns", "Asia/Tokyo"))
    table = pa.table({"here": times, "there": zoned, "y": [0, 1] * 20})
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(table, path)
    data = build_data(TableConfig(files=[str(path)], labels=["y"]))
    assert data.columns is not None
    raw = data.train.raw(slice(0, 5))
    assert [time.tzinfo is None for time in (raw["here"][0], raw["there"][0])] == [
        True,
        False,
    ]
    # As they are sent, and as an export stores them.
    made = data.train.take(np.arange(5))[0]["x"]
    for values in (raw, {name: list(map(str, each)) for name, each in raw.items()}):
        np.testing.assert_array_equal(data.columns(values)["x"], made)
    # The clocks of both columns are that of UTC.
    half = made.shape[1] // 2
    np.testing.assert_array_equal(made[:, :half], made[:, half:])
