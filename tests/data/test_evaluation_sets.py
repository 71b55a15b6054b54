"""`data.eval_sets` for every kind of data, and the rows that are known unread."""

from typing import Any

import numpy as np
import pytest

from specflow.config.base import Target
from specflow.config.sections.data import DigitsConfig
from specflow.config.sections.data_sources import (
    BreastCancerConfig,
    DiabetesConfig,
    NpzConfig,
    TextConfig,
    WineConfig,
)
from specflow.config.sections.table import TableConfig
from specflow.data import ArraySource, Data, build_data
from specflow.data.known_rows import known_rows
from specflow.diagnostics.errors import DataError


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    for name, rows in (("train", 20), ("eval", 8), ("night", 5)):
        x = rng.normal(size=(rows, 3)).astype(np.float32)
        labels, key = np.arange(rows, dtype=np.int32) % 2, np.arange(rows)
        np.savez(tmp_path / f"{name}.npz", x=x, labels=labels, key=key)
        lines = [f"{a:.4f},{'ab'[b]},{b}" for (a, *_), b in zip(x, labels, strict=True)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["a,c,y", *lines]) + "\n")
    return tmp_path


def test_sets_of_npz_files_have_the_names_of_the_section(files):
    config = NpzConfig(
        train=str(files / "train.npz"),
        eval=str(files / "eval.npz"),
        ids=["key"],
        eval_sets={"night": str(files / "night.npz")},
    )
    data = build_data(config)
    assert {name: len(rows) for name, rows in data.sets.items()} == {"night": 5}
    assert list(data.evaluated()) == ["eval", "night"]
    assert data.split("night") is data.sets["night"]
    with np.load(files / "night.npz") as stored:
        features, labels = data.sets["night"].take(np.arange(5))
        np.testing.assert_array_equal(features["x"], stored["x"])
        np.testing.assert_array_equal(labels, stored["labels"])


def test_sets_of_a_table_have_the_columns_fitted_to_the_training_rows(files):
    paths = {"eval_sets": {"night": [str(files / "night.csv")]}}
    config = TableConfig(files=[str(files / "train.csv")], labels=["y"], **paths)
    data = build_data(config)
    night = data.sets["night"]
    assert len(night) == 5
    rows = np.loadtxt(files / "night.csv", delimiter=",", skiprows=1, usecols=0)
    fitted: Any = data.columns
    column = fitted.columns["a"]
    assert column.to_json()["name"] == "number"
    # Standardized by the training rows alone: an affine map of the numbers.
    train_x = data.train.column("features.x")[:, 0]
    night_x = night.column("features.x")[:, 0]
    assert train_x.mean() == pytest.approx(0, abs=1e-6)
    slope = np.diff(night_x) / np.diff(rows)
    np.testing.assert_allclose(slope, slope[0], rtol=1e-3)
    assert night_x.mean() != pytest.approx(0, abs=1e-3)


def test_a_set_of_text_is_a_folder_with_nothing_held_out(tmp_path):
    for folder, count in (("own", 4), ("other", 2)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            (tmp_path / folder / f"{number}.txt").write_text("abcdefgh" * 4)
    config = TextConfig(
        root=str(tmp_path / "own"),
        pattern="*.txt",
        length=8,
        eval_fraction=0.25,
        eval_sets={"other": str(tmp_path / "other")},
    )
    assert len(build_data(config).sets["other"]) == (2 * 32 - 1) // 8


def test_sets_of_shipped_data_are_files_of_equal_arrays(tmp_path):
    image = np.zeros((4, 8, 8, 1), np.float32)
    np.savez(tmp_path / "few.npz", image=image, labels=np.arange(4, dtype=np.int32))
    config = DigitsConfig(eval_sets={"few": str(tmp_path / "few.npz")})
    assert len(build_data(config).sets["few"]) == 4
    np.savez(tmp_path / "few.npz", image=image[:, :4], labels=np.zeros(4, np.int32))
    with pytest.raises(DataError, match=r"evaluation set few, features\.image: a row"):
        build_data(config)


def test_all_missing_files_of_sets_are_reported_at_their_keys(files):
    config = DigitsConfig(eval_sets={"one": "no.npz", "two": "none.npz"})
    with pytest.raises(DataError) as caught:
        build_data(config)
    found = [diagnostic.where for diagnostic in caught.value.diagnostics]
    assert found == ["data.eval_sets.one", "data.eval_sets.two"]


def test_a_function_returns_sets_by_name():
    def pair(rows):
        return {"x": np.zeros((rows, 2), np.float32)}, np.zeros(rows, np.int32)

    target = Target.model_validate({"_target_": "mine.load"})
    target.bind(lambda: {"train": pair(9), "eval": {"eval": pair(3), "night": pair(2)}})
    data = build_data(target)
    assert {name: len(rows) for name, rows in data.evaluated().items()} == {
        "eval": 3,
        "night": 2,
    }
    # Features alone are arrays by name, and no sets.
    features = {"eval": np.zeros((3, 2), np.float32)}
    target.bind(lambda: {"train": features, "eval": features})
    assert build_data(target).sets == {}


def test_a_split_that_does_not_exist_is_named_with_those_that_do():
    rows = ArraySource({"x": np.zeros(3)}, np.zeros(3))
    data = Data(rows, rows, sets={"night": rows})
    with pytest.raises(DataError) as caught:
        data.split("nihgt")
    assert str(caught.value) == (
        "--split nihgt: this data has no such split or evaluation set (command line). "
        "Expected one of train, eval, night. Did you mean night?"
    )


@pytest.mark.parametrize(
    "config",
    [
        DigitsConfig(eval_fraction=0.37),
        DiabetesConfig(),
        BreastCancerConfig(eval_fraction=0.01),
        WineConfig(eval_fraction=0.5),
    ],
)
def test_known_rows_are_those_that_are_read(config):
    assert known_rows(config) == len(build_data(config).train)


def test_rows_of_npz_files_are_known_by_their_headers(files):
    config = NpzConfig(train=str(files / "train.npz"), eval="unread.npz", ids=["key"])
    assert known_rows(config) == 20
    assert known_rows(TextConfig()) is None
    for broken in ("missing.npz", "train.csv"):
        assert known_rows(NpzConfig(train=str(files / broken), eval="x.npz")) is None
