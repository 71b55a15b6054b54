"""Synthetic rows follow the columns, are the same for a seed, and train."""

import collections
import json
from pathlib import Path

import numpy as np
import pytest

from specflow.cli.main import main
from specflow.config.sections.table import TableConfig
from specflow.data import build_data
from specflow.data.table.table_cells import TableCells
from specflow.data.table.table_files import table_files
from specflow.data.table.table_reader import read_columns
from tests.exploration.planted_table import SETTINGS, clean_rows, write_csv

FORMATS = ["csv", "tsv", "jsonl", "parquet", "arrow"]


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "pears.csv", clean_rows())
    return [*SETTINGS, "data.files=pears.csv"]


def read(name):
    return TableCells(read_columns(table_files([name], key="data.files"), list, []))


def synthesize(*words):
    assert main(["data", "synthesize", *words]) == 0


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_holds_the_same_rows(format, table):
    for name in ("a.csv", f"b.{format}"):
        synthesize(*table, "--output", name, "--rows", "50")
    cells = [read(name) for name in ("a.csv", f"b.{format}")]
    assert cells[0].names == cells[1].names == ["key", "weight", "age", "color", "kind"]
    for name in ("weight", "age"):
        np.testing.assert_array_equal(*(each.numbers(name)[0] for each in cells))
    for name in ("key", "color", "kind"):
        assert list(cells[0].texts(name)) == list(cells[1].texts(name))


def test_rows_follow_quantiles_frequencies_and_missing_shares(table):
    synthesize(*table, "--output", "made.csv", "--rows", "4000")
    data = build_data(TableConfig(files=["pears.csv"], labels=["kind"], id=["key"]))
    raw, made = data.train.raw(slice(None)), read("made.csv")
    weights = np.array(raw["weight"], np.float64)
    shares = np.linspace(0.05, 0.95, 10)
    # A quantile of 4,000 rows is uncertain by a hundredth of the ranks.
    ranks = np.searchsorted(
        np.sort(weights), np.quantile(made.numbers("weight")[0], shares)
    )
    np.testing.assert_allclose(ranks / len(weights), shares, atol=0.035)
    assert made.numbers("weight")[0].min() >= weights.min()
    for name in ("color", "age"):
        seen, drawn = raw[name], made.texts(name)
        for value in set(seen):
            share = sum(cell == value for cell in seen) / len(seen)
            count = sum(cell == value for cell in drawn)
            assert count / len(drawn) == pytest.approx(share, abs=0.035)
        assert set(drawn) <= set(seen)
    assert len(set(made.texts("key"))) == 4000
    assert set(made.texts("kind")) == {"nashi", "comice", "williams"}


def test_a_seed_decides_every_row(table, tmp_path):
    for name, seed in (("a.csv", 1), ("b.csv", 1), ("c.csv", 2)):
        synthesize(*table, "--output", name, "--seed", str(seed))
    texts = [(tmp_path / name).read_text() for name in ("a.csv", "b.csv", "c.csv")]
    assert texts[0] == texts[1] != texts[2]


def test_a_model_trains_on_them(table, capsys):
    synthesize(*table, "--output", "made.parquet", "--rows", "300")
    words = [*SETTINGS, "data.files=made.parquet", "output.dir=runs/made"]
    steps = ["loop.train_steps=20", "loop.log_every=10", "model.hidden=[8]"]
    assert main(["train", *words, *steps]) == 0
    # A run is looked at with its own columns and labels, new rows without labels.
    capsys.readouterr()
    assert main(["data", "stats", "run=runs/made"]) == 0
    assert " (label)" in capsys.readouterr().out
    unlabeled = [dict(list(row.items())[:-1]) for row in clean_rows(20)]
    write_csv(Path("new.csv"), unlabeled)
    words = ["run=runs/made", "data.files=new.csv", "--split", "eval", "--json"]
    assert main(["data", "show", *words]) == 0
    shown = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["ids"]["key"], row["labels"]) for row in shown[:2]] == [
        ("pear 0", {}),
        ("pear 1", {}),
    ]
    # And a run without its file has its columns.
    Path("made.parquet").unlink()
    synthesize("run=runs/made", "--output", "again.csv", "--rows", "200")
    again = read("again.csv")
    assert again.names == ["key", "weight", "age", "color", "kind"]
    weights = again.numbers("weight")[0]
    assert 5 < np.nanmean(weights) < 35
    data = build_data(TableConfig(files=["again.csv"], labels=["kind"], id=["key"]))
    assert set(data.columns.class_names) <= {"nashi", "comice", "williams"}


@pytest.mark.parametrize("format", ["jsonl", "parquet", "csv"])
def test_lists_times_and_texts_are_drawn_as_they_were(format, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "tags": [["a", "b"], ["b"], []][row % 3],
            "day": f"2026-03-{row % 28 + 1:02d}",
            "note": f"a sweet ripe pear of row {row}",
            "kind": "xy"[row % 2],
        }
        for row in range(60)
    ]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (tmp_path / "pears.jsonl").write_text(lines)
    declared = [
        "data.labels=kind",
        "+data.columns.tags=set",
        "+data.columns.note=text",
    ]
    words = ["experiment=table", *declared, "data.files=pears.jsonl"]
    synthesize(*words, "--output", f"made.{format}", "--rows", "90")
    made = build_data(
        TableConfig(
            files=[f"made.{format}"],
            labels=["kind"],
            columns={"tags": "set", "note": "text"},
        )
    )
    kinds = {
        name: each.to_json()["name"] for name, each in made.columns.columns.items()
    }
    assert kinds == {"tags": "set", "day": "date", "note": "text"}
    tags = made.train.raw(slice(None))["tags"]
    lists = [cell if isinstance(cell, list) else cell.split("|") for cell in tags]
    assert {item for items in lists for item in items} - {""} == {"a", "b"}
    assert main(["data", "stats", *words]) == 0


def test_declared_columns_are_enough(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    declared = [
        "data.files=later.csv",
        "data.labels=kind",
        "data.id=key",
        "data.split={by: group, column: farm}",
        "+data.columns.weight={name: number, clip: [1, 50]}",
        "+data.columns.color={name: category, vocabulary: [blue, red]}",
        "+data.columns.kind={name: category, vocabulary: [a, b]}",
    ]
    synthesize("experiment=table", *declared, "--output", "later.csv", "--rows", "200")
    assert "data.files are missing" in capsys.readouterr().err
    made = read("later.csv")
    assert made.names == ["key", "weight", "color", "kind", "farm"]
    weights = made.numbers("weight")[0]
    assert 1 <= weights.min() < 10 < 40 < weights.max() <= 50
    assert set(made.texts("color")) == {"blue", "red"}
    assert max(collections.Counter(made.texts("farm")).values()) > 1
    # The experiment reads what was written, with its own split.
    capsys.readouterr()
    assert main(["data", "stats", "experiment=table", *declared]) == 0
    assert "kind (label)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["experiment=digits", "--output", "a.csv"], "rows of data=digits are arrays"),
        ([*SETTINGS, "data.files=pears.csv", "--output", "a.xls"], "is no format of"),
        ([*SETTINGS, "data.files=none.csv", "--output", "a.csv"], "is not declared"),
        ([*SETTINGS, "data.files=pears.csv"], "required: --output"),
        ([*SETTINGS, "--rows", "0", "--output", "a.csv"], "argument --rows: got '0'"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(words, message, table, capsys, tmp_path):
    assert main(["data", "synthesize", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.csv").exists()
