"""Fits of all kinds of columns share passes over the blocks of a table."""

import collections

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from specflow.config.sections.table import TableConfig
from specflow.data import build_data
from specflow.data.table.table_blocks import TableBlocks
from specflow.diagnostics.errors import DataError

ROWS = 600
RNG = np.random.default_rng(0)
TABLE = pa.table(
    {
        "age": [None if row % 7 == 0 else row * 1.5 for row in range(ROWS)],
        "count": RNG.integers(0, 900, ROWS),
        "city": [["Rome", "Oslo", None][row % 3] for row in range(ROWS)],
        "code": [f"{row % 5:03d}" for row in range(ROWS)],
        "when": [f"20{row % 30:02d}-01-{row % 28 + 1:02d}" for row in range(ROWS)],
        "tags": [["red", "blue"][: row % 3] for row in range(ROWS)],
        "other": ["|".join("abc"[: row % 4]) for row in range(ROWS)],
        "title": [f"the {['cat', 'dog'][row % 2]} {row % 9}" for row in range(ROWS)],
        "pixels": RNG.normal(size=(ROWS, 3)).tolist(),
        "label": [["no", "yes"][row % 2] for row in range(ROWS)],
        "price": RNG.normal(size=ROWS) ** 2,
    }
)
COLUMNS = {
    "count": {"name": "number", "missing": "median", "quantiles": 5},
    "large": {"name": "number", "column": "count", "transform": "log1p"},
    "shared_city": {
        "name": "category",
        "column": "city",
        "encoding": "embedding",
        "shared": "places",
    },
    "tags": {"name": "set", "encoding": "embedding", "shared": "places"},
    "other": {"name": "set"},
    "title": {"name": "text", "max_length": 3, "encoding": "sequence"},
    "pixels": {"name": "number", "size": 3},
    "when": {"name": "date", "encoding": "standardize", "since": "2000-01-01"},
    "crossed": {"name": "cross", "of": ["city", "tags"], "hash_buckets": 7},
    "twice": {"name": "cross", "of": ["crossed", "code"], "hash_buckets": 9},
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def built(path, **settings):
    settings = {"labels": ["label", "price"], "columns": COLUMNS, **settings}
    return build_data(TableConfig(files=[str(path)], **settings))


def test_columns_of_every_kind_are_fitted_as_those_of_a_table_in_memory(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(TABLE, path, row_group_size=70)
    streamed, whole = built(path, memory="60KiB"), built(path)
    assert streamed.columns is not None
    assert whole.columns is not None
    assert streamed.columns.to_json() == whole.columns.to_json()


def test_a_table_is_read_for_sums_for_variances_and_for_unproven_cells(
    tmp_path, monkeypatch
):
    path = tmp_path / "t.parquet"
    numbers = TABLE.select(["age", "count", "city", "label", "price"])
    pq.write_table(numbers, path, row_group_size=70)
    read = collections.Counter()
    every = TableBlocks.read

    def counted(self, index, names, counts=None):
        read.update((index, name) for name in names)
        return every(self, index, names, counts)

    monkeypatch.setattr(TableBlocks, "read", counted)
    built(path, memory="60KiB", columns={})
    # The first block is read once more, for the shapes of the features.
    blocks = range(1, 9)
    assert {
        name: {read[block, name] for block in blocks} for name in numbers.column_names
    } == {"age": {2}, "count": {2}, "city": {1}, "label": {2}, "price": {3}}


@pytest.mark.parametrize("split", ["random", "time"])
def test_a_bad_number_outside_of_the_training_rows_is_found(tmp_path, split):
    values = np.arange(600.0)
    values[599] = np.inf
    table = pa.table({"n": values, "t": np.arange(600), "y": np.arange(600) % 2})
    path = tmp_path / "t.parquet"
    pq.write_table(table, path, row_group_size=70)
    messages = []
    for memory in ("2GiB", "9KiB"):
        with pytest.raises(DataError) as raised:
            built(
                path,
                memory=memory,
                labels=["y"],
                columns={},
                split={"by": "time", "column": "t"}
                if split == "time"
                else {"by": "random", "seed": 3},
            )
        messages.append(str(raised.value))
    assert messages[0] == messages[1]
    assert f"{path}, row 599, n: got inf" in messages[0]
