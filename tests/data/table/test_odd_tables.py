"""Tables that a reader takes for numbers, and specflow does not."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from specflow.config.sections.table import TableConfig
from specflow.data import build_data
from specflow.diagnostics.errors import DataError

LABELS = [row % 2 for row in range(20)]


def problems(files, **settings):
    """Diagnostics of a table with labels `y`."""
    config = TableConfig(files=[str(file) for file in files], labels=["y"], **settings)
    with pytest.raises(DataError) as caught:
        build_data(config)
    return caught.value.diagnostics


@pytest.mark.parametrize("text", ["1,{:03}", "3,{}", "-1,{:03},000.5"])
def test_numbers_with_commas_are_no_categories(tmp_path, text):
    rows = [f'"{text.format(row)}",{label}\n' for row, label in enumerate(LABELS)]
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(rows))
    first, *_ = problems([tmp_path / "t.csv"])
    assert first.problem.startswith("got '" + text[: text.index("{")])
    assert first.expected == "a number in digits and a decimal point, such as 1234.5"
    config = TableConfig(
        files=[str(tmp_path / "t.csv")], labels=["y"], columns={"x": "category"}
    )
    assert build_data(config).columns.columns["x"].vocabulary


@pytest.mark.parametrize("shuffle", ["rows", "blocks"])
def test_a_column_has_texts_in_all_files_or_in_none(tmp_path, shuffle):
    files = [tmp_path / f"{name}.parquet" for name in ("numbers", "texts")]
    pq.write_table(pa.table({"x": np.arange(20.0), "y": LABELS}), files[0])
    pq.write_table(pa.table({"x": list("ab") * 10, "y": LABELS}), files[1])
    (problem,) = problems(files, shuffle=shuffle)
    text = f"holds texts in {files[1]}, and numbers or others in {files[0]}"
    assert (problem.where, problem.problem) == ("column x", text)
    # A file without a value has no type of its own.
    pq.write_table(pa.table({"x": pa.nulls(20), "y": LABELS}), files[0])
    config = TableConfig(
        files=[str(file) for file in files], labels=["y"], shuffle=shuffle
    )
    assert build_data(config).columns.columns["x"].vocabulary == ("a", "b")


@pytest.mark.parametrize("shuffle", ["rows", "blocks"])
@pytest.mark.parametrize("large", [1e200, 1.5e308])
def test_numbers_without_a_finite_variance_are_reported(tmp_path, shuffle, large):
    numbers = np.where(np.arange(20) % 4, 1.0, large)
    pq.write_table(pa.table({"x": numbers, "y": LABELS}), tmp_path / "t.parquet")
    for each in problems([tmp_path / "t.parquet"], shuffle=shuffle):
        assert each.problem == f"got {large}"
        assert each.expected.startswith("at most 1e+150")


def test_an_integer_that_float64_lacks_may_be_an_identifier(tmp_path):
    path = tmp_path / "t.parquet"
    large = [2**62 + 1 + row for row in range(20)]
    pq.write_table(pa.table({"x": LABELS, "i": large, "y": LABELS}), path)
    first, *_ = problems([path])
    assert "data.id=i" in first.hint
    config = TableConfig(files=[str(path)], labels=["y"], id=["i"])
    assert set(build_data(config).eval.ids["i"].tolist()) < set(large)


def test_an_arrow_stream_is_no_arrow_file(tmp_path):
    table = pa.table({"x": LABELS, "y": LABELS})
    with pa.ipc.new_stream(tmp_path / "t.arrow", table.schema) as stream:
        stream.write_table(table)
    (problem,) = problems([tmp_path / "t.arrow"])
    assert problem.problem == "is a stream of Arrow, which has no index of its rows"
    assert "pyarrow.ipc.new_file" in problem.expected


def test_folders_of_partitions_are_read_by_a_glob_and_are_no_columns(tmp_path, capsys):
    table = pa.table({"x": [*range(20)], "part": list("ab") * 10, "y": LABELS})
    pq.write_to_dataset(table, tmp_path / "hive", partition_cols=["part"])
    (problem,) = problems([tmp_path / "hive"])
    assert problem.hint == f"Use a glob, such as {tmp_path}/hive/**/*.parquet."
    files = [str(tmp_path / "hive/**/*.parquet")]
    data = build_data(TableConfig(files=files, labels=["y"]))
    assert (len(data.train) + len(data.eval), [*data.columns.columns]) == (20, ["x"])
    assert "such as part=..., are no columns" in capsys.readouterr().err
