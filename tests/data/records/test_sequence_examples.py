"""Sequence examples, and written TFRecord files, against TensorFlow 2.15."""

import json
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from specflow import ConfigError, DataError
from specflow.data import build_data
from tests.data.records.conftest import EXAMPLE, as_example, write_records

pytest.importorskip("google_crc32c")

from specflow_records import write_tfrecords
from specflow_records._core import TfRecordConfig
from specflow_records._core.example import ExampleError, parsed_example
from specflow_records._core.tfrecord_writer import serialized_example

FOLDER = Path(__file__).parents[2] / "reference/tfrecords"
RECORDED = json.loads((FOLDER / "sequences.json").read_text())
LISTS = {"tokens": {"length": 3, "pad": 0}, "points": {"length": 3}}


def config_of(path, **settings):
    return TfRecordConfig(files=[str(path)], labels=["label"], id=["name"], **settings)


def test_lists_of_steps_are_padded_as_tensorflow_pads_them():
    config = config_of(FOLDER / "sequences.tfrecord", fields=LISTS)
    data = build_data(config)
    for source in (data.train, data.eval):
        rows = [RECORDED["name"].index(name) for name in source.ids["name"]]
        features, labels = source.take(slice(None))
        assert labels.tolist() == [RECORDED["label"][row] for row in rows]
        tokens = np.array(RECORDED["tokens"], np.int32)[rows]
        np.testing.assert_array_equal(features["tokens"]["values"], tokens, strict=True)
        points = np.array(RECORDED["points"], np.float32)[rows]
        np.testing.assert_array_equal(features["points"]["values"], points, strict=True)
        lengths = np.array(RECORDED["lengths"])[rows]
        for name in ("tokens", "points"):
            np.testing.assert_array_equal(
                features[name]["mask"], np.arange(3) < lengths[:, None]
            )
    assert len(data.train) + len(data.eval) == 12


def test_a_length_is_suggested_for_lists_of_steps():
    with pytest.raises(DataError) as caught:
        build_data(config_of(FOLDER / "sequences.tfrecord"))
    found = {each.where: each for each in caught.value.diagnostics}
    assert found["data.fields.points"].hint == "Pad them: data.fields.points.length=3."
    assert "0 to 3 items of 3" in found["data.fields.points"].problem
    assert found["data.fields.tokens"].hint == "Pad them: data.fields.tokens.length=3."


def test_steps_of_several_sizes_may_be_left_out(tmp_path):
    rows = [
        {"x": row, "label": row % 2, "name": f"{row}", "ragged": [[1, 2], [3]]}
        for row in range(8)
    ]
    path = tmp_path / "t.tfrecord"
    write_tfrecords(path, rows, feature_lists="ragged")
    with pytest.raises(DataError, match="lists of several sizes, one for each step"):
        build_data(config_of(path))
    features, _ = build_data(config_of(path, features=["x"])).train.take(slice(None))
    assert {*features["x"].tolist()} <= {*range(8)}


def test_a_name_in_both_parts_is_an_error():
    step = b"\x0a\x01n\x12\x00"
    lists = b"\x12" + bytes([len(step) + 2]) + b"\x0a" + bytes([len(step)]) + step
    with pytest.raises(ExampleError, match="'n' is a feature of the context and a"):
        parsed_example(as_example({"n": 1}) + lists)


def test_the_bytes_are_those_of_tensorflow():
    for row, expected in zip(RECORDED["values"], RECORDED["serialized"], strict=True):
        assert serialized_example(row).hex() == expected
    steps = {"t": [1, 2], "none": []}
    written = serialized_example({**RECORDED["values"][4], **steps}, [*steps])
    assert written.hex() == RECORDED["serialized_sequence"]


@hypothesis.given(
    st.dictionaries(
        st.sampled_from(["", "x", "\u00e9"]),
        st.one_of(
            st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=40),
            st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5),
            st.lists(st.binary(max_size=300), min_size=1, max_size=3),
        ),
    )
)
def test_the_protobuf_library_reads_what_is_written(row):
    found = EXAMPLE.FromString(serialized_example(row)).features.feature
    assert found.keys() == row.keys()
    for name, values in row.items():
        kind = found[name].WhichOneof("kind")
        assert list(getattr(found[name], kind).value) == values


@pytest.mark.parametrize("compression", [None, "GZIP", "ZLIB"])
def test_written_files_are_read_back(tmp_path, compression):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2)).astype(np.float32)
    rows = (
        {"x": x[row], "label": row % 2 == 0, "name": f"fig {row}"} for row in range(30)
    )
    path = tmp_path / "t.tfrecord"
    assert write_tfrecords(path, rows, compression=compression) == 30
    source = build_data(config_of(path)).train
    features, labels = source.take(slice(None))
    numbers = [int(name.split()[1]) for name in source.ids["name"]]
    np.testing.assert_array_equal(features["x"], x[numbers])
    assert labels.tolist() == [number % 2 == 0 for number in numbers]


def test_a_file_is_the_same_as_that_of_another_writer(tmp_path):
    rows = [{"x": row} for row in range(5)]
    write_records(tmp_path / "other.tfrecord", [as_example(row) for row in rows])
    write_tfrecords(tmp_path / "own.tfrecord", rows)
    other = (tmp_path / "other.tfrecord").read_bytes()
    assert (tmp_path / "own.tfrecord").read_bytes() == other


def test_a_value_that_no_example_has_leaves_no_file(tmp_path, monkeypatch):
    path = tmp_path / "t.tfrecord"
    with pytest.raises(DataError, match=r"t\.tfrecord, record 1: x is \{'a': 1\}"):
        write_tfrecords(path, [{"x": 1}, {"x": {"a": 1}}])
    assert [*tmp_path.iterdir()] == []
    with pytest.raises(DataError, match="record 0: x has 18446744073709551615, which"):
        write_tfrecords(path, [{"x": np.array([2**64 - 1], np.uint64)}])
    with pytest.raises(DataError, match="record 0: has no 't', which feature_lists"):
        write_tfrecords(path, [{"x": 1}], feature_lists=["t"])
    with pytest.raises(DataError, match="cannot be written: No such file"):
        write_tfrecords(tmp_path / "absent/t.tfrecord", [{"x": 1}])
    monkeypatch.setitem(__import__("sys").modules, "google_crc32c", None)
    with pytest.raises(ConfigError, match="needs the package google-crc32c"):
        write_tfrecords(path, [])
