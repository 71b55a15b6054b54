"""Statistics of columns equal those of NumPy and of Python's own counting."""

import collections
import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specflow.config.sections.table import TableConfig
from specflow.data import ArraySource, Data, build_data
from specflow.exploration.column_statistics import data_statistics
from specflow.exploration.split_columns import (
    SplitColumn,
    SplitColumns,
    split_columns,
)
from tests.exploration.planted_table import clean_rows, write_csv

FLOATS = st.floats(-1e6, 1e6, allow_subnormal=False)


def of_numbers(values):
    column = SplitColumn("x", "feature", "number", np.array(values))
    found = data_statistics({"train": SplitColumns(len(values), 1, (column,))})
    return found.columns[0]


@settings(max_examples=60)
@given(values=st.lists(FLOATS | st.just(float("nan")), min_size=1, max_size=40))
def test_statistics_of_numbers_are_those_of_numpy(values):
    column = of_numbers(values)
    found = column.by_split["train"]
    present = np.array([value for value in values if value == value])
    assert (found.count, found.missing) == (len(present), len(values) - len(present))
    if not len(present):
        assert (found.mean, found.histogram, column.edges) == (None, (), ())
        return
    assert (found.min, found.max) == (present.min(), present.max())
    np.testing.assert_allclose(found.mean, present.mean(), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(found.std, present.std(), rtol=1e-9, atol=1e-6)
    expected = np.quantile(present, [0.05, 0.25, 0.5, 0.75, 0.95])
    np.testing.assert_array_equal(found.quantiles, expected)
    assert found.distinct == len(set(present.tolist()))
    # Every value is in a bin.
    assert sum(found.histogram) == len(present)
    assert len(column.edges) == len(found.histogram) + 1


@given(values=st.permutations([0.1, 0.2, 0.3, 1e16, -1e16, 3.0]))
def test_the_order_of_rows_changes_no_bit(values):
    first = of_numbers([0.1, 0.2, 0.3, 1e16, -1e16, 3.0]).by_split["train"]
    assert of_numbers(values).by_split["train"] == first


def test_raw_cells_of_a_table_are_counted_as_the_file_has_them(tmp_path):
    write_csv(tmp_path / "pears.csv", clean_rows())
    config = TableConfig(
        files=[str(tmp_path / "pears.csv")], labels=["kind"], id=["key"]
    )
    data = build_data(config)
    splits = {split: split_columns(data, split) for split in ("train", "eval")}
    found = {column.name: column for column in data_statistics(splits).columns}
    with (tmp_path / "pears.csv").open() as file:
        by_key = {row["key"]: row for row in csv.DictReader(file)}
    for split in ("train", "eval"):
        rows = [by_key[key] for key in data.split(split).ids["key"]]
        for name in ("kind", "color"):
            texts = collections.Counter(row[name] for row in rows if row[name])
            statistics = found[name].by_split[split]
            assert dict(statistics.top) == texts
            assert statistics.missing == sum(row[name] == "" for row in rows)
        ages = np.array([float(row["age"]) for row in rows if row["age"]])
        statistics = found["age"].by_split[split]
        assert (statistics.mean, statistics.count) == (
            pytest.approx(ages.mean(), rel=1e-14),
            len(ages),
        )
        assert found["key"].by_split[split].distinct == len(rows)
    assert next(column.role for column in found.values()) == "label"
    # A bin for each of a few integers.
    assert found["age"].edges == tuple(np.arange(10) - 0.5)


def test_arrays_are_columns_while_they_are_few():
    rng = np.random.default_rng(0)
    features = {
        "x": rng.normal(size=(40, 3)),
        "image": rng.integers(0, 255, (40, 8, 8, 1), np.uint8),
        "size": rng.normal(size=(40, 1)),
    }
    source = ArraySource(features, np.arange(40) % 4)
    columns = split_columns(Data(source, source), "train").columns
    kinds = {column.name: column.kind for column in columns}
    assert kinds == {
        "labels": "category",
        "x[0]": "number",
        "x[1]": "number",
        "x[2]": "number",
        "image": "array",
        "size": "number",
    }
    found = data_statistics({"train": SplitColumns(40, 1, columns)})
    by_name = {column.name: column.by_split["train"] for column in found.columns}
    assert by_name["image"].mean == features["image"].mean()
    assert by_name["x[1]"].std == pytest.approx(
        features["x"][:, 1].astype(np.float32).std(dtype=np.float64), rel=1e-12
    )
    assert by_name["labels"].top == (("0", 10), ("1", 10), ("2", 10), ("3", 10))


def test_a_large_split_is_read_in_steps_and_says_so(monkeypatch):
    monkeypatch.setattr("specflow.exploration.split_columns._MOST_VALUES", 100)
    monkeypatch.setattr("specflow.exploration.split_columns._BLOCK", 7)
    source = ArraySource({"x": np.arange(500.0)}, np.arange(500) % 2)
    columns = split_columns(Data(source, source), "train")
    assert (columns.rows, columns.every) == (500, 10)
    (x,) = columns.of_role("feature")
    np.testing.assert_array_equal(x.numbers, np.arange(0, 500, 10))
