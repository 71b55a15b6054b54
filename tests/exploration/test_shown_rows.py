"""Rows are shown as the model gets them, for every kind of data."""

import json

import numpy as np
import pytest

from specflow.cli.main import main
from specflow.compose import compose
from specflow.config.sections.table import TableConfig
from specflow.data import build_data
from specflow.data.plan import BatchPlan
from specflow.exploration.shown_rows import shown_rows
from tests.compose.conftest import golden
from tests.data.images.image_files import write_folder
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


def test_rows_of_epochs_are_those_of_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "photos", each=8)
    images = ("experiment=images", "data.root=photos", "seed=5")
    changes = "data.augment={crop: {padding: 2}, color: {brightness: 0.4}}"
    shown = ("data", "show", *images, "--rows", "3:6", "--epochs", "2", "--json")
    assert main([*shown, changes]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["row"], row["epoch"]) for row in rows] == [
        (row, epoch) for row in (3, 4, 5) for epoch in (0, 1)
    ]
    data = build_data(compose([*images, changes]).config.data)
    plan = BatchPlan(data.train, len(data.train), seed=5)
    for shown_row in rows:
        (ids,) = plan.row_ids(shown_row["epoch"], 1)
        features, _ = plan.rows(shown_row["epoch"], 1)
        trained = features["image"][0][ids.tolist().index(shown_row["row"])]
        image = np.array(shown_row["features"]["features.image"], np.float32)
        np.testing.assert_array_equal(image, trained)
    assert main(["data", "check", *images, changes, "--output", "page.html"]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "row 3, epoch 2: cat" in page
    capsys.readouterr()
    assert main([*shown[:-1]]) == 2
    error = "--epochs: the train split is not augmented"
    assert error in capsys.readouterr().err
