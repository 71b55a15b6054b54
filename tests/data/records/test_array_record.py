"""ArrayRecord files, read by number."""

import numpy as np
import pytest

from specflow import DataError, SpecflowWarning
from specflow.data import build_data
from specflow.data.known_rows import known_rows
from tests.data.records.conftest import as_example

module = pytest.importorskip("array_record.python.array_record_module")

from specflow_records._core import ArrayRecordConfig  # noqa: E402

ROWS = [{"x": [float(row), 2.0], "row": row, "y": row % 2} for row in range(60)]


def write(path, contents, options="group_size:1"):
    writer = module.ArrayRecordWriter(str(path), options)
    for content in contents:
        writer.write(content)
    writer.close()


def config_of(path, **settings):
    return ArrayRecordConfig(files=[str(path)], labels=["y"], **settings)


def test_rows_of_several_files_are_read_in_any_order(tmp_path):
    for part in range(3):
        rows = ROWS[part * 20 : part * 20 + 20]
        write(tmp_path / f"{part}.array_record", map(as_example, rows))
    config = config_of(tmp_path / "*.array_record")
    data = build_data(config)
    assert (len(data.train), len(data.eval), known_rows(config)) == (48, 12, 48)
    order = np.random.default_rng(0).permutation(48)
    features, labels = data.train.take(order)
    np.testing.assert_array_equal(features["x"][:, 0], features["row"])
    np.testing.assert_array_equal(features["row"] % 2, labels)
    whole, _ = data.train.take(slice(None))
    np.testing.assert_array_equal(whole["row"][order], features["row"])
    assert data.eval.place(0).endswith(
        f"record {data.eval.take([0])[0]['row'][0] % 20}"
    )


def test_bytes_are_decoded_as_declared(tmp_path):
    rows = np.arange(40, dtype="<f4").reshape(10, 4)
    write(tmp_path / "a.array_record", [row.tobytes() for row in rows])
    fields = {"record": {"decode": "raw", "dtype": "float32", "shape": [2, 2]}}
    config = ArrayRecordConfig(
        files=[str(tmp_path / "a.array_record")], payload="bytes", fields=fields
    )
    data = build_data(config)
    kept = data.train._rows
    features, _ = data.train.take(slice(None))
    np.testing.assert_array_equal(features["record"], rows[kept].reshape(-1, 2, 2))


def test_groups_of_several_records_are_read_with_a_warning(
    tmp_path, golden, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write("a.array_record", map(as_example, ROWS), "group_size:16")
    with pytest.warns(SpecflowWarning) as warned:
        data = build_data(config_of("a.array_record"))
    (warning,) = [each for each in warned if "groups" in str(each.message)]
    golden("records/array_record_groups.txt", f"{warning.message}\n")
    features, labels = data.train.take(slice(None))
    np.testing.assert_array_equal(features["row"] % 2, labels)


@pytest.mark.parametrize("case", ["cut", "none", "flipped"])
def test_damaged_files_are_errors(case, tmp_path, golden, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.array_record"
    write(path, map(as_example, ROWS))
    content = bytearray(path.read_bytes())
    if case == "flipped":
        content[300] ^= 4
    if case == "cut":
        content = content[: len(content) // 2]
    path.write_bytes(b"no records" if case == "none" else content)
    with pytest.raises(DataError) as raised:
        build_data(config_of("a.array_record"))
    diagnostics = raised.value.diagnostics
    assert {each.code for each in diagnostics} == {"data-file"}
    if case != "flipped":  # Its text is the library's.
        golden("records/array_record_cut.txt", f"{raised.value}\n")
