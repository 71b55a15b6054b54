"""Reads that fail for a while give the same rows; others are one error."""

import errno
import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest

from specflow import DataError, SpecflowWarning
from specflow.config.sections.table import TableConfig
from specflow.data import build_data
from specflow.data.array_tree import named_leaves
from specflow.data.table import block_readers, read_retries, table_files
from tests.compose.conftest import golden

__all__ = ["golden"]

ROWS = 800
TABLE = pa.table(
    {
        "n": pa.array([row / 4 for row in range(ROWS)]),
        "c": pa.array([("red", "blue", "green")[row % 3] for row in range(ROWS)]),
        "y": pa.array([row % 2 for row in range(ROWS)]),
    }
)
TRANSIENT = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR)
FINAL = (errno.EACCES, errno.EISDIR, errno.ENOENT)


@pytest.fixture
def waits(monkeypatch, tmp_path):
    """Waits that took no time."""
    waits = []
    monkeypatch.setattr(read_retries, "_sleep", waits.append)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return waits


class Failures:
    """Makes every `every`-th read of table files raise, `times` times in a row."""

    def __init__(self, code, times, every=1, most=None):
        self.code, self.times, self.every = code, times, every
        self.left_of_all = most
        self._calls, self._left, self.raised = 0, 0, 0

    def strike(self):
        if not self._left:
            self._calls += 1
            if self._calls % self.every or self.left_of_all == 0:
                return
            self._left = self.times + 1
        self._left -= 1
        if self._left:
            self.raised += 1
            if self.left_of_all:
                self.left_of_all -= 1
            raise OSError(self.code, os.strerror(self.code), "x")

    def apply(self, monkeypatch, folder):
        """Injects them into what opens files: Python's and pyarrow's."""
        opens, reads, files = Path.open, Path.read_bytes, pa.OSFile
        failures, parquet = self, pa.parquet.ParquetFile
        tables = pa.feather.read_table

        class Raw(io.FileIO):
            def readinto(self, buffer):
                failures.strike()
                # Little at once: reads fail in the middle of a row.
                return super().readinto(memoryview(buffer)[:1_000])

        class Parquet(parquet):
            def iter_batches(self, *args, **options):
                for batch in super().iter_batches(*args, **options):
                    failures.strike()
                    yield batch

            def read(self, *args, **options):
                failures.strike()
                return super().read(*args, **options)

            def read_row_group(self, *args, **options):
                failures.strike()
                return super().read_row_group(*args, **options)

        def opened(path, mode="r", buffering=-1, **options):
            if path.absolute().parent != folder or "b" not in mode:
                return opens(path, mode, buffering, **options)
            raw = Raw(path, mode)
            return raw if buffering == 0 else io.BufferedReader(raw)

        def read(path):
            if path.absolute().parent == folder:
                failures.strike()
            return reads(path)

        def file(path):
            failures.strike()
            return files(path)

        def table(path, **options):
            failures.strike()
            return tables(path, **options)

        monkeypatch.setattr(Path, "open", opened)
        monkeypatch.setattr(pa.feather, "read_table", table)
        monkeypatch.setattr(Path, "read_bytes", read)
        monkeypatch.setattr(pa, "OSFile", file)
        monkeypatch.setattr(pa.parquet, "ParquetFile", Parquet)


def write(folder, format):
    path = folder / f"t.{format}"
    if format == "parquet":
        pa.parquet.write_table(TABLE, path, row_group_size=200)
    elif format == "arrow":
        pa.feather.write_feather(TABLE, path, chunksize=200)
    elif format == "csv":
        pa.csv.write_csv(TABLE, path)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in TABLE.to_pylist()))
    return path.name


def built(name, streamed):
    memory = {"memory": "64KiB", "shuffle": "blocks"} if streamed else {}
    data = build_data(TableConfig(files=[name], labels=["y"], **memory))
    rows = [data.train.take(slice(0, 400)), data.train.take(slice(400, None))]
    return [leaf for part in rows for leaf in named_leaves(*part)]


@pytest.mark.parametrize("streamed", [False, True], ids=["in memory", "streamed"])
@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet", "arrow"])
def test_reads_that_fail_for_a_while_give_the_same_rows(
    format, streamed, tmp_path, monkeypatch, waits
):
    # Batches of fewer rows than a row group: reads fail in the middle of one.
    monkeypatch.setattr(block_readers, "PART_ROWS", 64)
    name = write(tmp_path, format)
    expected = built(name, streamed)
    assert not waits
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    failures = Failures(errno.ESTALE, times=2, every=7)
    failures.apply(monkeypatch, tmp_path)
    with pytest.warns(SpecflowWarning, match=f"{name}: cannot be read: Stale"):
        actual = built(name, streamed)
    assert len(waits) == failures.raised >= 2
    assert waits[:2] == [0.1, 0.4]
    assert [name for name, _ in actual] == [name for name, _ in expected]
    for (_, one), (_, other) in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("streamed", [False, True], ids=["in memory", "streamed"])
@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet", "arrow"])
def test_a_read_that_fails_for_good_is_one_error(
    format, streamed, tmp_path, monkeypatch, waits, golden
):
    name = write(tmp_path, format)
    # The digest is read first, and has the same error: see below.
    monkeypatch.setattr(table_files, "_facts", lambda name, path: (9, "0"))
    Failures(errno.EIO, times=10**9).apply(monkeypatch, tmp_path)
    with pytest.warns(SpecflowWarning) as warned, pytest.raises(DataError) as raised:
        built(name, streamed)
    assert waits == [0.1, 0.4, 1.6, 6.4]
    text = f"warning: {warned[0].message}\nerror: {raised.value}\n"
    golden("tables/read_fails.txt", text.replace(name, "t.csv"))
    assert len(warned) == 1


@pytest.mark.parametrize("code", TRANSIENT)
def test_errors_that_may_not_last_are_retried(code, waits):
    failures = Failures(code, times=4, most=4)
    with pytest.warns(SpecflowWarning) as warned:
        read_retries.read_retried("t.csv", failures.strike)
    assert waits == [0.1, 0.4, 1.6, 6.4]
    assert len(warned) == 1


@pytest.mark.parametrize("code", FINAL)
def test_other_errors_are_final(code, waits):
    failures = Failures(code, times=9)
    with pytest.raises(DataError) as raised:
        read_retries.read_retried("t.csv", failures.strike)
    assert failures.raised == 1
    assert not waits
    assert str(raised.value) == (
        f"t.csv: cannot be read: {os.strerror(code)}. "
        "Expected a file that this process can read."
    )


def test_all_files_that_cannot_be_read_are_reported(tmp_path, monkeypatch, waits):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("n,y\n1,0\n")
    Failures(errno.EACCES, times=10**9).apply(monkeypatch, tmp_path)
    with pytest.raises(DataError) as raised:
        build_data(TableConfig(files=["a.csv", "b.csv"], labels=["y"]))
    assert [d.where for d in raised.value.diagnostics] == ["a.csv", "b.csv"]
    assert {d.code for d in raised.value.diagnostics} == {"data-read"}


def test_errors_of_arrow_have_the_number_of_the_system(waits):
    """A file of Linux whose reads give EIO."""
    with pytest.warns(SpecflowWarning), pytest.raises(DataError, match="5 times"):
        read_retries.read_retried("mem", lambda: pa.OSFile("/proc/self/mem").read(9))
    assert len(waits) == 4
