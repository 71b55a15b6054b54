"""One table in every format, and what is inferred from it."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from specflow.config.sections.table import TableConfig
from specflow.data import build_data

ROWS = 60
RNG = np.random.default_rng(0)
TABLE = pa.table(
    {
        "key": pa.array([2**60 + row for row in range(ROWS)]),
        "age": pa.array([None if row % 7 == 0 else row * 1.5 for row in range(ROWS)]),
        "count": pa.array(RNG.integers(0, 9, ROWS)),
        "city": pa.array([["Rome", "Oslo", None][row % 3] for row in range(ROWS)]),
        "is_new": pa.array([row % 4 == 0 for row in range(ROWS)]),
        "label": pa.array([["no", "yes"][row % 2] for row in range(ROWS)]),
    }
)


def write(folder, format):
    path = folder / f"table.{format}"
    rows = TABLE.to_pylist()
    if format == "parquet":
        pa.parquet.write_table(TABLE, path)
    elif format == "arrow":
        pa.feather.write_feather(TABLE, path, compression="uncompressed")
    elif format == "jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        separator = {"csv": ",", "tsv": "\t"}[format]
        lines = [separator.join(TABLE.column_names)]
        for row in rows:
            texts = ["" if cell is None else str(cell) for cell in row.values()]
            lines.append(separator.join(texts).replace("True", "true"))
        path.write_text("\n".join(lines).replace("False", "false"))
    return str(path)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Format -> data."""
    folder = tmp_path_factory.mktemp("formats")
    return {
        format: build_data(
            TableConfig(files=[write(folder, format)], labels=["label"], id=["key"])
        )
        for format in ("csv", "tsv", "jsonl", "parquet", "arrow")
    }


def test_every_format_makes_the_same_rows(built):
    expected = built["parquet"]
    assert len(expected.train) == 48
    assert expected.train.take(slice(0, 2))[0]["x"].shape == (2, 2 + 1 + 4 + 3)
    for data in built.values():
        assert data.columns.digest == expected.columns.digest
        for split in ("train", "eval"):
            rows = [source.split(split) for source in (data, expected)]
            (x, y), (expected_x, expected_y) = (each.take(slice(None)) for each in rows)
            np.testing.assert_array_equal(x["x"], expected_x["x"])
            np.testing.assert_array_equal(y, expected_y)
            ids = [np.asarray(each.ids["key"]).astype(str) for each in rows]
            np.testing.assert_array_equal(*ids)


def test_ids_beyond_float64_keep_every_digit(built):
    keys = {str(2**60 + row) for row in range(ROWS)}
    for data in built.values():
        parts = (data.split(split).ids["key"] for split in ("train", "eval"))
        assert {str(key) for part in parts for key in part} == keys


def test_labels_are_classes_by_name(built):
    for data in built.values():
        assert data.columns.class_names == ("no", "yes")
        _, labels = data.train.take(slice(None))
        assert labels.dtype == np.int32


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2", "", "4"], "number"),
        (["01", "02", "10", "7"], "category"),
        (["a", "b", "", "4"], "category"),
        (["true", "false", "true", ""], "category"),
    ],
)
def test_kinds_are_inferred(tmp_path, cells, kind):
    path = tmp_path / "t.csv"
    rows = [f"{cell},{row % 2}" for row, cell in enumerate(cells * 5)]
    path.write_text("\n".join(["c,y", *rows]))
    columns = build_data(TableConfig(files=[str(path)], labels=["y"])).columns
    assert columns.columns["c"].to_json()["name"] == kind
    assert columns.labels["y"].kind == "integer"


def test_the_order_of_files_and_rows_does_not_change_the_columns(tmp_path):
    for name, rows in (("a", range(30)), ("b", range(29, -1, -1))):
        lines = [f"{row},{'xyz'[row % 3]},{row % 2},{row}" for row in rows]
        (tmp_path / f"{name}.csv").write_text("\n".join(["n,c,y,key", *lines]))
    digests = {
        build_data(
            TableConfig(
                files=[str(tmp_path / f"{name}.csv")],
                labels=["y"],
                id=["key"],
                split={"by": "hash", "column": "key"},
            )
        ).columns.digest
        for name in "ab"
    }
    assert len(digests) == 1
