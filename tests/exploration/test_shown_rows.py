"""Rows are shown as the model gets them, for every kind of data."""

import json

import numpy as np
import pytest

from specflow.cli.main import main
from specflow.config.sections.table import TableConfig
from specflow.data import build_data
from specflow.exploration.shown_rows import shown_rows
from tests.compose.conftest import golden
from tests.exploration.planted_table import SETTINGS, clean_rows, write_csv

__all__ = ["golden"]


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "pears.csv", clean_rows())
    return ["experiment=table", *SETTINGS[1:], "data.files=pears.csv"]


def test_cells_are_beside_the_features_that_are_made_of_them(table, capsys, golden):
    assert main(["data", "show", *table, "--rows", "3"]) == 0
    golden("data/show.txt", capsys.readouterr().out)


@pytest.mark.parametrize("joined", [True, False])
def test_features_of_columns_are_bit_for_bit_those_of_the_model(table, joined):
    config = TableConfig(
        files=["pears.csv"], labels=["kind"], id=["key"], joined=joined
    )
    data = build_data(config)
    for row in shown_rows(data, "eval", slice(3, 9)):
        features, _ = data.eval.take(slice(row.row, row.row + 1))
        parts = [np.atleast_1d(part) for part in row.by_column.values()]
        if joined:
            np.testing.assert_array_equal(np.concatenate(parts), features["x"][0])
        else:
            for name, part in row.by_column.items():
                np.testing.assert_array_equal(part, features[name][0])
        assert data.eval.ids["key"][row.row] == row.ids["key"]


def test_tools_get_every_number(table, capsys):
    assert (
        main(["data", "show", *table, "--split", "eval", "--rows", "2:4", "--json"])
        == 0
    )
    document = json.loads(capsys.readouterr().out)
    assert [row["row"] for row in document["rows"]] == [2, 3]
    row = document["rows"][0]
    assert row["place"].startswith("pears.csv:")
    assert set(row["raw"]) == {"weight", "age", "color"}
    assert len(row["features"]["features.x"]) == sum(
        len(np.atleast_1d(part)) for part in row["columns"].values()
    )
    assert row["classes"]["labels"] in ("nashi", "comice", "williams")


def test_pictures_are_drawn(capsys, golden):
    assert main(["data", "show", "experiment=digits", "--rows", "1"]) == 0
    golden("data/picture.txt", capsys.readouterr().out)


def test_tokens_of_text_are_read(tmp_path, capsys):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("Ein Birnbaum stand im Garten. " * 20)
    words = [
        f"data.root={tmp_path}",
        "data.pattern=*.txt",
        "data.length=16",
        "data.eval_fraction=0.5",
    ]
    sizes = ["model.max_length=16", "data.shuffle=false"]
    assert main(["data", "show", "experiment=stdlib_lm", *words, *sizes]) == 0
    printed = capsys.readouterr().out
    assert "features.tokens i32[16]: 'Ein Birnbaum sta'" in printed
    # The next byte is the label of each.
    assert "labels 'in Birnbaum stan'" in printed


def test_rows_behind_the_last_are_an_error(table, capsys):
    assert main(["data", "show", *table, "--rows", "900:910"]) == 2
    assert capsys.readouterr().err == (
        "error[usage] --rows: the train split has 320 rows (command line). Expected "
        "rows before 320.\n"
    )
    assert main(["data", "show", *table, "--rows", "5:5"]) == 2
    assert "argument --rows: got '5:5'" in capsys.readouterr().err
    assert main(["data", "show", *table, "--split", "test"]) == 2
    assert "data-empty" in capsys.readouterr().err
