"""Rows as JSON lines, CSV and Parquet: the same values, each row once, in order."""

import contextlib
import csv
import io
import json

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from specflow.diagnostics.errors import ConfigError
from specflow.output import row_format, writing_rows
from specflow.output.report import prediction_rows
from specflow.output.report.prediction_rows import FORMATS

pq = pytest.importorskip("pyarrow.parquet")


def read(path, format):
    """A file's rows as flat dicts of plain values; each reader is a library's own."""
    if format == "parquet":
        return pq.read_table(path).to_pylist()
    if format == "csv":
        with path.open(newline="") as stream:
            return [
                {name: json.loads(cell.lower()) for name, cell in row.items()}
                for row in csv.DictReader(stream)
            ]
    return [flat(json.loads(line)) for line in path.read_text().splitlines()]


def flat(row):
    found = {}
    for name, value in row.items():
        members = flat(value) if isinstance(value, dict) else {"": value}
        found |= {f"{name}.{key}".rstrip("."): v for key, v in members.items()}
    return found


def cut(batch, sizes):
    """Splits a batch into parts of these sizes, and the remainder."""
    start = 0
    for size in (*sizes, 10**9):
        part = slice(start, start + size)
        yield {
            name: {key: x[part] for key, x in value.items()}
            if isinstance(value, dict)
            else value[part]
            for name, value in batch.items()
        }
        start += size


@st.composite
def batches(draw):
    """Nested predictions of several dtypes and ranks, all finite."""
    count = draw(st.integers(1, 12))

    def column():
        shape = (count, *draw(st.sampled_from([(), (2,), (2, 3)])))
        dtype = draw(st.sampled_from(["float32", "float64", "int32", "uint8", "bool"]))
        finite = {"allow_nan": False, "allow_infinity": False}
        return draw(
            hnp.arrays(dtype, shape, elements=finite if dtype.startswith("f") else None)
        )

    return {"a": column(), "nested": {"b": column(), "c": column()}}


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(batch=batches(), sizes=st.lists(st.integers(1, 5), max_size=3))
def test_all_formats_have_the_same_rows_in_order_for_any_batches(
    batch, sizes, tmp_path
):
    columns = {"a": batch["a"], "nested.b": batch["nested"]["b"]}
    columns["nested.c"] = batch["nested"]["c"]
    expected = [
        {name: column[row].tolist() for name, column in columns.items()}
        for row in range(len(batch["a"]))
    ]
    for format in FORMATS:
        path = tmp_path / f"rows.{format}"
        with writing_rows(str(path), format) as write:
            for part in cut(batch, sizes):
                write(part)
        assert read(path, format) == expected


def test_sixteen_bit_floats_are_written_exactly(tmp_path):
    for dtype in (ml_dtypes.bfloat16, ml_dtypes.float8_e5m2, np.float16):
        column = np.array([1 / 3, -2.5]).astype(dtype)
        for format in FORMATS:
            path = tmp_path / f"rows.{format}"
            with writing_rows(str(path), format) as write:
                write({"x": column})
            found = [row["x"] for row in read(path, format)]
            assert found == [float(x) for x in column]


def test_non_finite_numbers_are_null_in_json_only(tmp_path):
    batch = {"x": np.array([np.nan, np.inf, 1.0], np.float32)}
    paths = {format: tmp_path / f"rows.{format}" for format in FORMATS}
    for format, path in paths.items():
        with writing_rows(str(path), format) as write:
            write(batch)
    assert paths["jsonl"].read_text() == '{"x": null}\n{"x": null}\n{"x": 1.0}\n'
    assert paths["csv"].read_text() == "x\nnan\ninf\n1.0\n"
    column = pq.read_table(paths["parquet"])["x"]
    assert [str(value.as_py()) for value in column] == ["nan", "inf", "1.0"]


def test_a_bare_prediction_is_named_output(tmp_path):
    for format in FORMATS:
        path = tmp_path / f"rows.{format}"
        with writing_rows(str(path), format) as write:
            write(np.array([1, 2]))
        assert read(path, format) == [{"output": 1}, {"output": 2}]


def test_arrays_of_size_0_within_a_row_are_empty_lists(tmp_path):
    path = tmp_path / "rows.parquet"
    with writing_rows(str(path), "parquet") as write:
        write({"x": np.zeros((2, 0)), "y": np.zeros((2, 2, 0), np.int32)})
    prediction_rows = pq.read_table(path).to_pylist()
    assert prediction_rows == [{"x": [], "y": [[], []]}] * 2


def test_parquet_keeps_dtypes(tmp_path):
    path = tmp_path / "rows.parquet"
    batch = {"p": np.zeros((2, 3), np.float32), "k": np.zeros(2, np.int32)}
    with writing_rows(str(path), "parquet") as write:
        write(batch)
    schema = pq.read_schema(path)
    assert str(schema.field("p").type.value_type) == "float"
    assert str(schema.field("k").type) == "int32"


def test_many_rows_become_several_row_groups(tmp_path):
    """The buffer is bounded: 65,536 rows, for any total."""
    path = tmp_path / "rows.parquet"
    with writing_rows(str(path), "parquet") as write:
        for start in range(0, 200_000, 10_000):
            write({"row": np.arange(start, start + 10_000)})
    file = pq.ParquetFile(path)
    assert file.metadata.num_row_groups == 3
    assert file.read()["row"].to_pylist() == list(range(200_000))


@pytest.mark.parametrize("format", FORMATS)
def test_a_failure_leaves_the_earlier_file(format, tmp_path):
    path = tmp_path / f"rows.{format}"
    path.write_text("former")
    with contextlib.suppress(RuntimeError), writing_rows(str(path), format) as write:
        write({"x": np.arange(3)})
        raise RuntimeError
    assert path.read_text() == "former"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("format", FORMATS)
def test_no_rows_make_a_file_without_rows(format, tmp_path):
    path = tmp_path / f"rows.{format}"
    with writing_rows(str(path), format):
        pass
    assert read(path, format) == []


def test_rows_go_to_standard_output(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    for format in ("jsonl", "csv"):
        with writing_rows(None, format) as write:
            write({"x": np.array([1])})
    assert out.getvalue() == '{"x": 1}\nx\n1\n'


def test_the_format_is_given_by_suffix_or_by_name():
    assert row_format("a.CSV") == "csv"
    assert row_format("a.txt", "csv") == "csv"
    assert row_format(None, "csv") == "csv"
    assert row_format(None) == "jsonl"


@pytest.mark.parametrize(
    ("output", "format", "message"),
    [
        (
            "out.txt",
            None,
            "--output out.txt: the suffix .txt is no format of rows. Expected "
            ".jsonl, .csv or .parquet at the end of the name. Or name the format: "
            "--format jsonl.",
        ),
        (
            "out",
            None,
            "--output out: has no suffix, which would give the format. Expected "
            ".jsonl, .csv or .parquet at the end of the name. Or name the format: "
            "--format jsonl.",
        ),
        (
            None,
            "parquet",
            "--format parquet: cannot go to standard output: its index contains file "
            "offsets. Name a file: --output out.parquet.",
        ),
    ],
)
def test_an_unknown_format_is_refused(output, format, message):
    with pytest.raises(ConfigError) as error:
        row_format(output, format)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("nowhere/x.csv", "cannot be written: the folder 'nowhere' does not exist"),
        ("file/x.csv", "cannot be written: the folder 'file' is a file"),
        ("link.csv", "cannot be written: the folder '{here}/nowhere' does not exist"),
        ("folder.csv", "is a folder"),
        ("other.csv/", "is a folder"),
        ("", "is a folder"),
    ],
)
def test_a_file_that_cannot_be_written_anywhere_is_refused_at_once(
    output, problem, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.csv").symlink_to("nowhere/x.csv")
    with pytest.raises(ConfigError) as error:
        row_format(output)
    assert str(error.value) == (
        f"--output: '{output}' {problem.format(here=tmp_path)} (command line). "
        "Expected a file in an existing folder. Create the folder first, or choose "
        "another file."
    )


def test_existing_files_links_and_devices_can_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.csv").touch()
    (tmp_path / "new.csv").symlink_to("later.csv")
    for output in ("old.csv", "new.csv", "none.csv", "~/x.csv"):
        assert row_format(output) == "csv"
    for device in ("/dev/null", "/dev/stdout", "/dev/fd/1"):
        assert row_format(device, "jsonl") == "jsonl"


def test_parquet_without_its_package_names_it(monkeypatch):
    monkeypatch.setattr(prediction_rows.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as error:
        row_format("out.parquet")
    assert str(error.value) == (
        "parquet: needs the package pyarrow, which is not installed. Install it: pip "
        "install 'specflow-jax[parquet]'. Or write .csv or .jsonl."
    )


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_two_predictions_of_one_column_are_refused(format, tmp_path):
    """Joined by dots they would be one column, and one would be lost."""
    with (
        pytest.raises(ConfigError, match=r"a\.b: is the column of two predictions"),
        writing_rows(str(tmp_path / f"out.{format}"), format) as write,
    ):
        write({"a.b": np.ones(2), "a": {"b": np.zeros(2)}})
