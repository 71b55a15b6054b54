"""Mapped arrays of `.npy` and `.npz` files."""

import subprocess
import sys

import numpy as np
import pytest

from specflow import DataError
from specflow.data import build_data
from specflow.data.known_rows import known_rows
from specflow_records._core import NpyConfig

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(50, 3)).astype(np.float32), np.arange(50) % 3
TAG = np.array([f"t{row}" for row in range(50)])


def saved(folder, kind):
    if kind == "npz":
        np.savez(folder / "a.npz", x=X, y=Y, tag=TAG)
        return [str(folder / "a.npz")]
    paths = []
    for name, rows in (("a", slice(0, 20)), ("b", slice(20, 50))):
        (folder / name).mkdir()
        for key, array in (("x", X), ("y", Y), ("tag", TAG)):
            np.save(folder / name / f"{key}.npy", array[rows])
        paths.append(str(folder / name))
    return paths


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_rows_are_those_of_the_arrays(tmp_path, kind):
    config = NpyConfig(files=saved(tmp_path, kind), labels=["y"], id=["tag"])
    data = build_data(config)
    assert (len(data.train), len(data.eval), known_rows(config)) == (40, 10, 40)
    rows = [int(tag[1:]) for tag in data.train.ids["tag"]]
    order = RANDOM.permutation(40)
    features, labels = data.train.take(order)
    np.testing.assert_array_equal(features["x"], X[rows][order], strict=True)
    np.testing.assert_array_equal(labels, Y[rows][order])


def test_an_array_larger_than_memory_is_read_in_bounded_memory(tmp_path):
    # 4 GiB of which nothing is on the disk; the process may have 2 GiB of memory.
    (tmp_path / "big").mkdir()
    rows = 1 << 20
    big = np.lib.format.open_memmap(
        tmp_path / "big/x.npy", mode="w+", dtype=np.float32, shape=(rows, 1024)
    )
    big[rows - 1] = 7.0
    del big
    code = f"""
import re
from pathlib import Path

import numpy as np
from specflow_records._core.npy import NpyRecords
import specflow
specflow.data.file_digest = lambda name, path: "1"
records = NpyRecords(["{tmp_path}/big"], key="data.files")
values = records.read(np.array([{rows} - 1, 0]), None)["x"]
assert (values[0] == 7).all() and (values[1] == 0).all()
# In KiB. The peak of `resource` is also that of the process before exec.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(int(peak) < 1 << 20)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


WRONG = {
    "npy_empty_folder": lambda folder: (folder / "a").mkdir(),
    "npy_rows": lambda folder: np.savez(folder / "a.npz", x=X, y=Y[:9]),
    "npy_compressed": lambda folder: np.savez_compressed(folder / "a.npz", x=X, y=Y),
    "npy_pickle": lambda folder: np.savez(
        folder / "a.npz", x=np.array([{}, {}], dtype=object)
    ),
    "npy_text": lambda folder: (folder / "a.npz").write_text("no archive"),
    "npy_missing": lambda folder: None,
}


@pytest.mark.parametrize("case", WRONG)
def test_arrays_that_cannot_be_mapped_are_reported(case, tmp_path, monkeypatch, golden):
    monkeypatch.chdir(tmp_path)
    WRONG[case](tmp_path)
    path = "a" if case == "npy_empty_folder" else "a.npz"
    with pytest.raises(DataError) as raised:
        build_data(NpyConfig(files=[path], labels=["y"]))
    golden(f"records/{case}.txt", f"{raised.value}\n")


def test_parts_with_other_arrays_are_reported(tmp_path, monkeypatch, golden):
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", x=X, y=Y)
    np.savez("b.npz", x=X[:, :2], z=Y)
    with pytest.raises(DataError) as raised:
        build_data(NpyConfig(files=["a.npz", "b.npz"], labels=["y"]))
    golden("records/npy_differs.txt", f"{raised.value}\n")
