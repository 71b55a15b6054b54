"""TFRecord files of `tf.train.Example`, against what TensorFlow 2.15 wrote and read."""

import errno
import json
import os
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from specflow import DataError, SpecflowWarning
from specflow.data import build_data
from tests.data.records.conftest import (
    EXAMPLE,
    as_example,
    write_examples,
    write_records,
)

pytest.importorskip("google_crc32c")

from specflow_records._core import TfRecordConfig
from specflow_records._core.example import ExampleError, parsed_example

FOLDER = Path(__file__).parents[2] / "reference/tfrecords"
RECORDED = json.loads((FOLDER / "expected.json").read_text())["expected"]
FIELDS = {
    "words": {"length": 3, "pad": -1},
    "weight": {"missing": 1.0},
    "raw": {"decode": "raw", "dtype": "int16"},
}


def config_of(name, **settings):
    return TfRecordConfig(files=[str(name)], **settings)


@pytest.mark.parametrize("kind", ["plain", "gzip", "zlib"])
def test_files_of_tensorflow_are_read_as_tensorflow_parses_them(kind, capsys):
    config = config_of(
        FOLDER / f"{kind}.tfrecord",
        labels=["label"],
        id=["id", "name"],
        fields=FIELDS,
        split={"eval": 0.25},
    )
    data = build_data(config)
    assert (len(data.train), len(data.eval)) == (15, 5)
    seen = []
    for source in (data.train, data.eval):
        # Ids past 2**53, which floating-point numbers would round.
        rows = [RECORDED["id"].index(number) for number in source.ids["id"].tolist()]
        seen += rows
        assert source.ids["name"].tolist() == [RECORDED["name"][row] for row in rows]
        features, labels = source.take(slice(None))
        np.testing.assert_array_equal(labels, np.array(RECORDED["label"])[rows])
        for name in ("vector", "signed", "weight", "image", "raw"):
            expected = np.array(RECORDED[name], features[name].dtype)[rows]
            np.testing.assert_array_equal(features[name], expected, strict=True)
        words = np.array(RECORDED["words"])[rows]
        np.testing.assert_array_equal(features["words"]["values"], words)
        np.testing.assert_array_equal(features["words"]["mask"], words >= 0)
    assert sorted(seen) == list(range(20))
    decompressed = capsys.readouterr().err.count("data: decompressed")
    assert decompressed == (kind != "plain")
    build_data(config)
    assert "decompressed" not in capsys.readouterr().err


names = st.sampled_from(["", "x", "\u00e9", "a/b"])
values = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5),
    st.lists(st.binary(max_size=9), min_size=1, max_size=3),
)


@hypothesis.given(st.dictionaries(names, values, max_size=4))
def test_parsing_returns_what_the_protobuf_library_wrote(row):
    parsed = parsed_example(as_example(row))
    assert parsed.keys() == row.keys()
    for name, value in row.items():
        if value and isinstance(value[0], bytes):
            found = parsed[name]
            assert ([found] if isinstance(found, bytes) else found) == value
        else:
            assert parsed[name].tolist() == value


@hypothesis.given(st.dictionaries(names, values, max_size=3), st.integers(0, 99))
def test_bytes_that_are_cut_off_never_parse_as_other_values(row, kept):
    content = as_example(row)
    cut = content[: kept * len(content) // 100]
    try:
        mine = parsed_example(cut)
    except ExampleError:
        return
    theirs = EXAMPLE.FromString(cut).features.feature
    assert mine.keys() == theirs.keys()


def test_unpacked_lists_are_lists_too():
    # `packed=false` of proto2: a tag before each number.
    integers = bytes.fromhex("1a 05 08 01 08 ac 02")
    entry = b"\x0a\x01n\x12" + bytes([len(integers)]) + integers
    features = b"\x0a" + bytes([len(entry)]) + entry
    content = b"\x0a" + bytes([len(features)]) + features
    assert EXAMPLE.FromString(content).features.feature["n"].int64_list.value == [
        1,
        300,
    ]
    assert parsed_example(content)["n"].tolist() == [1, 300]


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    return [
        {"x": random.normal(size=3).tolist(), "y": int(row % 2), "row": row}
        for row in range(40)
    ]


def test_rows_of_several_files_are_read_by_number_in_any_order(tmp_path, rows):
    for part in range(4):
        write_examples(tmp_path / f"{part}.tfrecord", rows[part * 10 : part * 10 + 10])
    config = config_of(tmp_path / "*.tfrecord", labels=["y"], split={"eval": 0.2})
    source = build_data(config).train
    order = np.random.default_rng(1).permutation(len(source))
    features, labels = source.take(order)
    numbers = features["row"]
    expected = np.array([row["x"] for row in rows], np.float32)[numbers]
    np.testing.assert_array_equal(features["x"], expected)
    np.testing.assert_array_equal(labels, numbers % 2)
    assert source.place(0) == f"{tmp_path}/0.tfrecord, record {int(numbers.min())}"
    whole, _ = source.take(slice(None))
    np.testing.assert_array_equal(whole["row"][order], numbers)


@pytest.mark.parametrize("at", [0.02, 0.5, 0.98])
def test_a_flipped_bit_is_an_error_and_never_other_numbers(tmp_path, rows, at):
    path = tmp_path / "a.tfrecord"
    write_examples(path, rows)
    good = path.read_bytes()
    place = int(at * len(good))
    path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
    with pytest.raises(DataError) as raised:
        build_data(config_of(path, labels=["y"])).train.take(slice(None))
    assert {each.code for each in raised.value.diagnostics} == {"data-file"}
    assert "record" in str(raised.value)


@pytest.mark.parametrize("kept", [0.31, 0.999])
def test_a_file_that_is_cut_off_is_an_error(tmp_path, rows, kept):
    path = tmp_path / "a.tfrecord"
    write_examples(path, rows)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match="is cut off"):
        build_data(config_of(path, labels=["y"]))


def test_a_read_that_fails_is_tried_again(tmp_path, rows, monkeypatch):
    path = tmp_path / "a.tfrecord"
    write_examples(path, rows)
    source = build_data(config_of(path, labels=["y"])).train
    monkeypatch.setattr("specflow.data.table.read_retries._sleep", lambda seconds: None)
    pread, failures = os.pread, [errno.EIO, errno.ESTALE]

    def failing(*arguments):
        if failures:
            raise OSError(failures.pop(), "failed")
        return pread(*arguments)

    expected = source.take(slice(5))[0]["x"]
    monkeypatch.setattr(os, "pread", failing)
    with pytest.warns(SpecflowWarning, match="It is tried again"):
        np.testing.assert_array_equal(source.take(slice(5))[0]["x"], expected)
    assert not failures


CASES = {
    "tfrecord_is_none": ([b""], {}),
    "tfrecord_no_example": ([b"\xff\xff"], {}),
    "tfrecord_missing_field": (
        [as_example({"x": 1.0, "y": 0})] * 3 + [as_example({"y": 1})],
        {"split": {"eval": 0.25}},
    ),
    "tfrecord_ragged": (
        [as_example({"x": [1] * (row + 1), "y": 0}) for row in range(4)],
        {},
    ),
    "tfrecord_late_ragged": (
        [as_example({"x": [1, 2], "y": 0})] * 70 + [as_example({"x": [1], "y": 0})] * 9,
        {},
    ),
    "tfrecord_texts": ([as_example({"x": b"pear", "y": "yes"})] * 4, {}),
    "tfrecord_not_finite": ([as_example({"x": float("nan"), "y": 0})] * 4, {}),
    "tfrecord_unknown_names": (
        [as_example({"x": 1.0, "y": 0})] * 4,
        {"labels": ["yy"], "features": ["w"], "id": ["z"]},
    ),
    "tfrecord_wide": ([as_example({"x": 2**40, "y": 0})] * 4, {}),
    "tfrecord_dtype": (
        [as_example({"x": 300, "y": 0})] * 4,
        {"fields": {"x": {"dtype": "uint8"}}},
    ),
    "tfrecord_raw_size": (
        [as_example({"x": b"abcde", "y": 0})] * 4,
        {"fields": {"x": {"decode": "raw", "dtype": "int16", "shape": [2]}}},
    ),
    "tfrecord_picture": (
        [as_example({"x": b"\x89PNG\r\n\x1a\nxxxx", "y": 0})] * 4,
        {"fields": {"x": {"decode": "image", "shape": [2, 2, 3]}}},
    ),
    "tfrecord_class_out_of_range": (
        [as_example({"x": 1.0, "y": row}) for row in range(4)],
        {"fields": {"y": {"classes": ["no", "yes"]}}},
    ),
}


def read_all(config):
    data = build_data(config)
    for source in (data.train, data.eval):
        source.take(slice(None))


@pytest.mark.parametrize("case", CASES)
def test_bad_records_are_reported_with_their_place(case, tmp_path, monkeypatch, golden):
    monkeypatch.chdir(tmp_path)
    contents, settings = CASES[case]
    if case == "tfrecord_is_none":
        Path("a.tfrecord").write_bytes(b"no records at all")
        Path("b.tfrecord").write_bytes(b"")
        settings = {"eval_files": ["b.tfrecord", "c*.tfrecord"]}
    else:
        write_records(Path("a.tfrecord"), contents)
    config = config_of("a.tfrecord", **{"labels": ["y"], **settings})
    with pytest.raises(DataError) as raised:
        read_all(config)
    golden(f"records/{case}.txt", f"{raised.value}\n")
