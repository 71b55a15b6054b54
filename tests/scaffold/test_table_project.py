"""`specflow new --from`: the project of a table, what it infers, and bad files."""

import csv
import json
import string
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from specflow.cli.main import main
from specflow.compose import compose
from specflow.data.table.proposed_columns import proposed_table
from tests.compose.conftest import golden
from tests.scaffold.test_new_project import run

__all__ = ["golden"]

ROWS = [
    {
        "tag": f"pear {row}",
        "number": row,
        "weight": [1.5 * row + 10, 30.0 + row, None][row % 3],
        "age": row * row % 7,
        "color: skin": ["blue", "yellow", None, "blue"][row % 4],
        "fresh": row % 5 == 0,
        "origin": "garden",
        "kind": ["comice", "nashi"][row % 2],
    }
    for row in range(60)
]
COLUMNS = {
    "weight": "number",
    "age": "number",
    "color: skin": "category",
    "fresh": "category",
    "origin": "ignore",
    "kind": {"name": "category", "vocabulary": ["comice", "nashi"]},
}


def write(path):
    """Writes the rows in the format of the suffix."""
    suffix = path.suffix
    table = pa.Table.from_pylist(ROWS)
    if suffix == ".parquet":
        pa.parquet.write_table(table, path)
    elif suffix == ".arrow":
        pa.feather.write_feather(table, path)
    elif suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    else:
        with path.open("w", newline="") as file:
            rows = csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",")
            rows.writerows([ROWS[0], *(row.values() for row in ROWS)])
    return path


def experiment(folder):
    return yaml.safe_load((folder / f"conf/experiment/{folder.name}.yaml").read_text())


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "arrow"])
def test_every_format_has_the_same_columns(suffix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / f"pears.{suffix}")
    assert main(["new", "pears", "--from", f"pears.{suffix}"]) == 0
    data = experiment(tmp_path / "pears")["data"]
    assert data["columns"] == COLUMNS
    assert (data["id"], data["labels"]) == (["tag", "number"], "kind")
    assert data["files"] == f"data/pears.{suffix}"
    copy = tmp_path / "pears" / data["files"]
    assert copy.read_bytes() == (tmp_path / f"pears.{suffix}").read_bytes()


def test_the_project_trains_and_is_clean(tmp_path):
    """Its own test trains, and fails where the loss does not fall."""
    write(tmp_path / "pears.csv")
    done = run("specflow", "new", "pears", "--from", "pears.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "pears:\n"
        "  .gitignore\n"
        "  README.md\n"
        "  conf/experiment/pears.yaml\n"
        "  data/pears.csv\n"
        "  pyproject.toml\n"
        "  tests/test_pears.py\n"
        "pears.csv is copied to data/pears.csv; the project reads the copy\n"
        "classification of kind, the last column; --labels names another\n"
        "try:\n"
        "  cd pears\n"
        "  specflow train experiment=pears\n"
        "  pip install pytest\n"
        "  python -m pytest\n"
    )
    folder = tmp_path / "pears"
    done = run("pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
    assert done.returncode == 0, done.stdout
    assert run("ruff", "check", ".", cwd=folder).stdout == "All checks passed!\n"
    formatted = run("ruff", "format", "--check", ".", cwd=folder)
    assert formatted.returncode == 0, formatted.stdout


def test_a_regression_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["size,price"] + [
        f"{row % 9},{1000.5 + row % 9 * 250}" for row in range(90)
    ]
    (tmp_path / "houses.csv").write_text("\n".join(lines))
    assert main(["new", "homes", "--from", "houses.csv"]) == 0
    folder = tmp_path / "homes"
    assert experiment(folder)["data"]["columns"]["price"] == "number"
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    steps = ["loop.train_steps=60", "loop.log_every=20", "output.dir=runs/one"]
    assert main(["train", "experiment=homes", *steps]) == 0
    assert json.loads(Path("runs/one/result.json").read_text())["eval"]["rmse"] > 0


def test_a_large_file_stays_where_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("specflow.scaffold.new_project._LARGEST_COPY", 100)
    path = write(tmp_path / "pears.csv")
    assert main(["new", "pears", "--from", "pears.csv", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["notes"] == [
        f"pears.csv has 0 MiB and is not copied: the project reads {path}",
        "classification of kind, the last column; --labels names another",
    ]
    assert experiment(tmp_path / "pears")["data"]["files"] == str(path)
    assert "data/pears.csv" not in document["files"]


LABELS = {
    "texts": (["a", "b", "b", "a", "a", "b"], "classification", ("a", "b")),
    "booleans": (["true", "false"] * 3, "classification", ("false", "true")),
    "few integers": ([10, 9, 10, 9, 9, 9], "classification", ("9", "10")),
    "integers of many values": ([1, 2, 3, 4, 5, 6], "regression", ()),
    "fractions": ([0.5, 1, 0.5, 1, 1, 1], "regression", ()),
    "codes": (["01", "02", "01", "02", "01", "02"], "classification", ("01", "02")),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_decide_the_task(case, tmp_path):
    values, task, classes = LABELS[case]
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{n % 4},{y}\n" for n, y in enumerate(values)))
    table = proposed_table(str(path), None, key="--from")
    assert (table.task, table.classes) == (task, classes)


def test_times_lists_and_sentences_have_their_kinds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "day": f"2026-03-{row % 28 + 1:02d}",
            "tags": [["a", "b"], ["b"], []][row % 3],
            "note": f"a sweet ripe pear of row {row}",
            "kind": "xy"[row % 2],
        }
        for row in range(60)
    ]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (tmp_path / "pears.jsonl").write_text(lines)
    assert main(["new", "pears", "--from", "pears.jsonl"]) == 0
    columns = experiment(tmp_path / "pears")["data"]["columns"]
    del columns["kind"]
    assert columns == {"day": "date", "tags": "set", "note": "text"}
    for label in ("day", "tags"):
        assert main(["new", "others", "--from", "pears.jsonl", "--labels", label]) == 2


def test_a_few_texts_among_numbers_are_missing_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = ["?" if row % 30 == 0 else row % 11 for row in range(90)]
    rows = "".join(f"{cell},{'ab'[row % 2]}\n" for row, cell in enumerate(cells))
    (tmp_path / "t.csv").write_text(f"hp,y\n{rows}")
    assert main(["new", "cars", "--from", "t.csv"]) == 0
    data = experiment(tmp_path / "cars")["data"]
    assert data["columns"]["hp"] == "number"
    assert data["missing"][-1] == "?"
    monkeypatch.chdir(tmp_path / "cars")
    assert (
        compose(["experiment=cars"], config_dirs=["conf"]).config.data.missing
        == (data["missing"])
    )


NAMES = st.text(string.printable + "é€{}$:#'\"", min_size=1, max_size=12).map(str.strip)


@settings(max_examples=25)
@given(
    names=st.lists(NAMES.filter(bool), min_size=2, max_size=4, unique=True),
    classes=st.lists(NAMES.filter(bool), min_size=2, max_size=3, unique=True),
)
def test_any_name_and_class_is_written_as_yaml_that_means_it(
    names, classes, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("names")
    rows = [{name: classes[row % len(classes)] for name in names} for row in range(30)]
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    (folder / "t.jsonl").write_text(text)
    assert (
        main(["new", str(folder / "any_names"), "--from", str(folder / "t.jsonl")]) == 0
    )
    written = [str(folder / "any_names/conf")]
    composed = compose(
        ["experiment=any_names"], config_dirs=written, reads_data=False
    ).config.data
    assert set(composed.columns) == set(names)
    assert composed.labels == [names[-1]]
    label = composed.columns[names[-1]]
    table = proposed_table(str(folder / "t.jsonl"), None, key="--from")
    assert tuple(label.vocabulary) == table.classes


BAD = {
    "no_file": "",
    "empty": "",
    "one_column": "y\n" + "1\n" * 9,
    "few_rows": "x,y\n1,a\n2,b\n",
    "label_missing": "x,y\n1,a\n2,\n3,b\n4,a\n5,b\n6,\n",
    "label_constant": "x,y\n1,a\n2,a\n3,a\n4,a\n5,a\n",
    "label_of_ids": "x,y\n1,a\n2,b\n3,c\n4,d\n5,e\n1,f\n",
    "no_features": "k,c,y\na,1,0\nb,1,1\nc,1,0\nd,1,1\ne,1,1\n",
    "bad_labels": "x,y\n" + "a,1\nb,2\n" * 30 + "a,12x\n",
    "bad_labels_and_no_features": "k,y\n" + "a,1\na,2\n" * 30 + "a,12x\n",
    "misfit_rows": "x,y\n1,a\n2,b,c\n3,a\n4,b\n5,a\n",
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_reported_and_nothing_written(
    case, tmp_path, monkeypatch, capsys, golden
):
    monkeypatch.chdir(tmp_path)
    if case != "no_file":
        (tmp_path / "t.csv").write_text(BAD[case])
    assert main(["new", "cars", "--from", "t.csv"]) == 2
    golden(f"new/{case}.txt", capsys.readouterr().err)
    assert not Path("cars").exists()


WORDS = {
    "labels_alone": ["--labels", "y"],
    "no_such_label": ["--from", "t.csv", "--labels", "yy"],
    "several_files": ["--from", "*.csv"],
    "suffix": ["--from", "t.xlsx"],
}


@pytest.mark.parametrize("case", WORDS)
def test_wrong_options_are_reported(case, tmp_path, monkeypatch, capsys, golden):
    monkeypatch.chdir(tmp_path)
    for name in ("t.csv", "u.csv", "t.xlsx"):
        (tmp_path / name).write_text("x,y\n" + "1,a\n2,b\n" * 9)
    assert main(["new", "cars", *WORDS[case]]) == 2
    golden(f"new/{case}.txt", capsys.readouterr().err)
    assert not Path("cars").exists()


def test_cells_that_are_no_numbers_are_left_to_correct(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cells = ["12x", "?", "10%", *range(90)]
    rows = "".join(f"{cell},{'ab'[row % 2]}\n" for row, cell in enumerate(cells))
    (tmp_path / "t.csv").write_text(f"hp,y\n{rows}")
    assert main(["new", "cars", "--from", "t.csv"]) == 0
    note = (
        "t.csv:2, hp: '12x' is no number, and 1 further cell is none. Before training, "
        "correct this, list texts of missing numbers in data.missing, or declare hp a "
        "category\n"
    )
    assert note in capsys.readouterr().out
    text = (tmp_path / "cars/conf/experiment/cars.yaml").read_text()
    assert "    hp: number # 0 to 89, 1 missing; no number: '12x'\n" in text
    monkeypatch.chdir(tmp_path / "cars")
    assert main(["check", "experiment=cars"]) == 2
    problems = capsys.readouterr().err
    assert "t.csv:2, hp: got '12x'." in problems
    assert "t.csv:3" not in problems
    declared = ["experiment=cars", "data.columns.hp=category"]
    composed = compose(declared, config_dirs=["conf"])
    assert composed.config.data.columns["hp"].name == "category"
