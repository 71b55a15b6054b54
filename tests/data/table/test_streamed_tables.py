"""Tables read in blocks have the rows of those that are read whole."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from specflow.config.sections.table import TableConfig
from specflow.data import ArraySource, Share, as_train_batches, build_data
from specflow.data.array_tree import map_leaves, named_leaves
from specflow.data.table import streamed_source
from specflow.data.table.number_parts import is_written
from specflow.data.table.row_store import RowStore
from specflow.data.table.streamed_cells import StreamedCells
from specflow.data.table.streamed_source import StreamedSource
from specflow.diagnostics.errors import DataError

ROWS = 3_000
RNG = np.random.default_rng(0)
TABLE = pa.table(
    {
        "key": pa.array([2**60 + row for row in range(ROWS)]),
        "age": pa.array(
            [None if row % 7 == 0 else float(row * 1.5) for row in range(ROWS)]
        ),
        "count": pa.array(RNG.integers(0, 900, ROWS)),
        "city": pa.array([["Rome", "Oslo", None][row % 3] for row in range(ROWS)]),
        "when": pa.array([f"2026-01-{row % 28 + 1:02d}" for row in range(ROWS)]),
        "place": pa.array([("train", "eval", "train")[row % 3] for row in range(ROWS)]),
        "label": pa.array([["no", "yes"][row % 2] for row in range(ROWS)]),
    }
)
SPLITS = {
    "random": {"by": "random", "test": 0.1},
    "hash": {"by": "hash", "test": 0.1},
    "group": {"by": "group", "column": "when", "eval": 0.4},
    "stratified": {"by": "stratified", "column": "label", "test": 0.2},
    "time": {"by": "time", "column": "when", "test": 0.1},
    "column": {"by": "column", "column": "place"},
    "folds": {"by": "stratified", "column": "label", "folds": 3},
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(folder, format):
    path = folder / f"table.{format}"
    if format == "parquet":
        pa.parquet.write_table(TABLE, path, row_group_size=190)
    elif format == "arrow":
        pa.feather.write_feather(TABLE, path, chunksize=190)
    elif format == "jsonl":
        rows = TABLE.drop_columns(["age"]).to_pylist()
        ages = TABLE["age"].to_pylist()
        for row, age in zip(rows, ages, strict=True):
            # Names that come and go, and integers among fractions.
            row |= {} if age is None else {"age": int(age) if age % 1 == 0 else age}
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter={"csv": ",", "tsv": "\t"}[format])
            writer.writerow(TABLE.column_names)
            columns = [column.to_pylist() for column in TABLE.columns]
            writer.writerows(zip(*columns, strict=True))
    return str(path)


def built(path, split="random", **settings):
    settings = {
        "files": [path],
        "labels": ["label"],
        "id": ["key"],
        "features": ["age", "count", "city"],
        "split": SPLITS[split],
        "fold": 1 if split == "folds" else None,
        **settings,
    }
    return build_data(TableConfig(**settings))


def arrays_of(source, rows=slice(None)):
    return dict(named_leaves(*source.take(rows)))


def assert_equal_data(streamed, whole, splits):
    assert streamed.columns.digest == whole.columns.digest
    assert streamed.columns.rows == whole.columns.rows
    for split in splits:
        rows, expected = streamed.split(split), whole.split(split)
        assert isinstance(expected, ArraySource)
        assert isinstance(rows, StreamedSource | RowStore)
        assert len(rows) == len(expected)
        order = np.random.default_rng(0).permutation(len(rows))
        for chosen in (slice(None), slice(3, 9), order, order[:7]):
            arrays = arrays_of(rows, chosen)
            for path, array in arrays_of(expected, chosen).items():
                np.testing.assert_array_equal(arrays[path], array)
                assert arrays[path].dtype == array.dtype
        np.testing.assert_array_equal(rows.ids["key"], expected.ids["key"])
        np.testing.assert_array_equal(rows.column("labels"), expected.column("labels"))
        assert rows.raw(slice(5, 8)) == expected.raw(slice(5, 8))
        assert rows.place(11) == expected.place(11)
        assert rows.spec() == expected.spec()


@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl", "parquet", "arrow"])
@pytest.mark.parametrize("shuffle", ["blocks", "rows"])
def test_every_format_has_the_rows_of_the_whole_table(tmp_path, format, shuffle):
    path = write(tmp_path, format)
    streamed = built(path, memory="40KiB", shuffle=shuffle)
    whole = built(path)
    assert_equal_data(streamed, whole, ("train", "eval", "test"))
    # Now from the cache of fitted columns.
    assert_equal_data(built(path, memory="40KiB"), whole, ("train", "eval"))


def test_numbers_are_those_of_the_whole_table(tmp_path, monkeypatch):
    rng, rows = np.random.default_rng(0), 20_000
    gaps = np.where(rng.random(rows) < 0.01, np.nan, rng.normal(3.0, 9.0, rows))
    table = pa.table(
        {
            "key": np.arange(rows),
            "label": rng.integers(-4, 9, rows),
            "plain": rng.normal(size=rows),
            "gaps": gaps,
            "whole": rng.integers(-(2**60), 2**60, rows, dtype=np.int64) >> 40,
        }
    )
    pa.parquet.write_table(table, tmp_path / "t.parquet", row_group_size=17_000)
    settings = {
        "features": ["plain", "gaps", "whole"],
        "columns": {"gaps": {"name": "number", "indicator": False}},
    }
    written = []

    def watched(*arguments):
        written.append(is_written(*arguments))
        return written[-1]

    monkeypatch.setattr(streamed_source, "is_written", watched)
    streamed, whole = (
        built(str(tmp_path / "t.parquet"), memory=memory, **settings)
        for memory in ("1MiB", "1GiB")
    )
    assert_equal_data(streamed, whole, ("train", "eval"))
    assert written
    assert all(written)


def weighted(folder, weights):
    path = folder / "weighted.parquet"
    table = TABLE.append_column("w", pa.array(weights))
    pa.parquet.write_table(table, path, row_group_size=190)
    return str(path)


def test_weights_may_be_zero_in_all_rows_of_a_block(tmp_path):
    weights = np.where(np.arange(ROWS) < 1_000, 0.0, 2.0)
    path = weighted(tmp_path, weights)
    streamed, whole = (
        built(path, "column", weights="w", memory=memory)
        for memory in ("40KiB", "1GiB")
    )
    assert isinstance(streamed.train, StreamedSource | RowStore)
    for split in ("train", "eval"):
        mine, theirs = (arrays_of(each.split(split)) for each in (streamed, whole))
        np.testing.assert_array_equal(mine["labels.w"], theirs["labels.w"])
    order = streamed.train.column("labels.w")
    np.testing.assert_array_equal(order, whole.train.column("labels.w"))


@pytest.mark.parametrize("memory", ["40KiB", "1GiB"])
def test_weights_of_zero_in_all_rows_of_a_split_are_refused(tmp_path, memory):
    path = weighted(tmp_path, np.where(np.arange(ROWS) % 3 == 1, 0.0, 1.0))
    with pytest.raises(DataError) as error:
        built(path, "column", weights="w", memory=memory)
    assert str(error.value) == (
        "column w: is 0 in all 1,000 rows of the eval split. Expected a weight above 0."
    )


@pytest.mark.parametrize("split", SPLITS)
def test_every_rule_of_splits_has_the_rows_of_the_whole_table(tmp_path, split):
    path = write(tmp_path, "parquet")
    streamed, whole = built(path, split, memory="40KiB"), built(path, split)
    assert_equal_data(streamed, whole, ("train", "eval"))


def stream_of(source, *, steps, batch_size=32, start=0, parts=1, seed=1, per_chunk=5):
    """Batches of some steps, as several processes read them, joined."""
    inputs = [
        as_train_batches(
            source,
            batch_size=batch_size,
            steps_per_chunk=per_chunk,
            seed=seed,
            start_step=start,
            share=Share((part,), parts),
        )
        for part in range(parts)
    ]
    batches = []
    while len(batches) < steps:
        chunks = [next(each) for each in inputs]
        first = start - chunks[0].first_step if not batches else 0
        joined = map_leaves(
            lambda *arrays: np.concatenate(arrays, axis=1),
            *[(chunk.features, chunk.labels) for chunk in chunks],
        )
        arrays = dict(named_leaves(*joined))
        batches += [
            {path: array[step] for path, array in arrays.items()}
            for step in range(max(0, first), chunks[0].steps)
        ]
    for each in inputs:
        each.close()
    return batches[:steps]


def assert_equal_batches(found, expected):
    assert len(found) == len(expected)
    for batch, other in zip(found, expected, strict=True):
        for path, array in other.items():
            np.testing.assert_array_equal(batch[path], array)


@pytest.mark.parametrize("shuffle", ["blocks", "rows", False])
def test_rows_do_not_depend_on_processes_or_the_step_of_a_resume(tmp_path, shuffle):
    path = write(tmp_path, "parquet")
    source = built(path, memory="40KiB", shuffle=shuffle).train
    expected = stream_of(source, steps=90)  # More than an epoch.
    for parts in (2, 4) if shuffle == "blocks" else (2,):
        assert_equal_batches(stream_of(source, steps=90, parts=parts), expected)
    for start in (37, 71):
        again = built(path, memory="40KiB", shuffle=shuffle).train
        tail = stream_of(again, steps=90 - start, start=start)
        assert_equal_batches(tail, expected[start:])


@pytest.mark.parametrize("shuffle", ["blocks", "rows"])
def test_an_epoch_has_every_row_once(tmp_path, shuffle):
    path = write(tmp_path, "parquet")
    data = built(path, memory="40KiB", shuffle=shuffle)
    size = len(data.train)
    rows = np.concatenate(
        [
            batch["features.x"]
            for batch in stream_of(data.train, steps=size, batch_size=1)
        ]
    )
    expected = arrays_of(built(path).train)["features.x"]
    np.testing.assert_array_equal(
        rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)]
    )
    assert (rows != expected).any()


def test_permuted_rows_of_a_store_are_those_of_a_table_in_memory(tmp_path):
    path = write(tmp_path, "csv")
    streamed = built(path, memory="40KiB", shuffle="rows").train
    whole = built(path).train
    assert_equal_batches(stream_of(streamed, steps=80), stream_of(whole, steps=80))


def test_a_window_is_held_and_no_more(tmp_path, monkeypatch):
    path = write(tmp_path, "parquet")
    source = built(path, memory="40KiB", shuffle="blocks").train
    held = []
    load = StreamedSource._load

    def watched(self, blocks):
        rows = sum(self._sizes[block] for block in blocks)
        held.append(rows * self.row_bytes)
        return load(self, blocks)

    monkeypatch.setattr(StreamedSource, "_load", watched)
    stream_of(source, steps=150)
    assert max(held) <= 40 * 1024 // 4
    # Each window is read once an epoch, and one more ahead.
    epochs = 150 * 32 / len(source)
    assert sum(held) <= (epochs + 2) * len(source) * source.row_bytes


def test_blocks_larger_than_the_memory_are_refused(tmp_path):
    path = write(tmp_path, "parquet")
    with pytest.raises(DataError) as raised:
        built(path, memory="4KiB")
    assert str(raised.value) == (
        f"{path}: block 1 has 190 rows, whose features take 0.0 MiB. Expected at most "
        "0.0 MiB, by data.memory. Set data.memory=1MiB, or write the file with smaller "
        "row groups."
    )


@pytest.mark.parametrize(
    "case", ["bad_cells", "many_bad_cells", "misfit_rows", "classes"]
)
def test_bad_cells_are_reported_as_those_of_a_table_in_memory(tmp_path, case):
    lines = [f"{row},{'ab'[row % 2]},{row % 2}" for row in range(20_000)]
    if case == "bad_cells":
        lines[700] = "seven,a,0"
    if case == "many_bad_cells":
        lines[300:19_500:600] = ["x,a,0"] * 32
    if case == "misfit_rows":
        lines[5_000] += ",9"
        lines[15_000] = "7"
    if case == "classes":
        lines[19_990] = "19990,a,maybe"
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["n,c,y", *lines]))
    messages = []
    for memory in ("2GiB", "200KiB"):
        settings = {
            "columns": {"y": "category"},
            "split": {"by": "time", "column": "n"},
        }
        if case != "classes":
            settings = {"columns": {"n": "number"}}
        config = TableConfig(files=[str(path)], labels=["y"], memory=memory, **settings)
        with pytest.raises(DataError) as raised:
            build_data(config)
        messages.append(sorted(str(raised.value).splitlines()))
    assert messages[0] == messages[1]


def test_several_files_with_different_row_groups_are_one_table(tmp_path):
    whole = TABLE
    for place, (start, size) in enumerate(((0, 700), (700, 1), (701, 2_299))):
        part = whole.slice(start, size)
        pa.parquet.write_table(part, tmp_path / f"{place}.parquet", row_group_size=113)
    pattern = str(tmp_path / "*.parquet")
    assert_equal_data(built(pattern, memory="40KiB"), built(pattern), ("train", "eval"))


def test_what_is_cached_is_not_read_again(tmp_path, monkeypatch, capsys):
    path = write(tmp_path, "parquet")
    first = built(path, memory="40KiB")
    printed = capsys.readouterr().err
    assert printed == (
        "data: 3,000 rows (0 MB) in 16 blocks are read as they are needed: "
        "data.memory=40KiB, data.shuffle=blocks\n"
    )

    def read(self, *_, **__):
        raise AssertionError("the table was read")

    monkeypatch.setattr(StreamedCells, "parts", read)
    again = built(path, memory="40KiB")
    assert again.columns == first.columns
    with pytest.raises(AssertionError, match="the table was read"):
        built(path, memory="40KiB", missing=["-"])
