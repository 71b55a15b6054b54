"""Fitted labels: kinds, classes and scaling. Expected values: scikit-learn, NumPy."""

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from specflow import DataError, SpecflowWarning
from specflow.columns import FittedColumns
from specflow.config.sections.table import TableConfig
from specflow.data import build_data
from tests.compose.conftest import golden

__all__ = ["golden"]

RNG = np.random.default_rng(0)
PRICES = np.exp(RNG.normal(12.0, 0.5, 80)).round(2)


def built(folder, labels, **settings):
    """Data of rows whose label is given."""
    path = folder / "t.csv"
    rows = [f"{row},{label}" for row, label in enumerate(labels)]
    path.write_text("\n".join(["x,y", *rows]))
    return build_data(TableConfig(files=[str(path)], labels=["y"], **settings))


@pytest.mark.parametrize("scale", ["standardize", "minmax", "none"])
@pytest.mark.parametrize("transform", [None, "log", "log1p"])
def test_numbers_are_scaled_by_the_training_rows(tmp_path, scale, transform):
    column = {"name": "number", "scale": scale, "transform": transform}
    data = built(tmp_path, PRICES, columns={"y": column})
    label = data.columns.labels["y"]
    _, train = data.train.take(slice(None))
    # Labels of the batches stay in their units.
    assert set(train.tolist()) <= set(np.float32(PRICES).tolist())
    rows = np.isin(np.float32(PRICES), train)
    values = {None: PRICES, "log": np.log(PRICES), "log1p": np.log1p(PRICES)}[transform]
    of_train = values[rows][:, None]
    expected = {"standardize": StandardScaler(), "minmax": MinMaxScaler()}.get(scale)
    assert label.kind == "number"
    assert label.transform == transform
    if expected is None:
        assert (label.offset, label.divisor) == (0.0, 1.0)
    else:
        scaled = expected.fit(of_train).transform(of_train)
        ours = (of_train - label.offset) / label.divisor
        np.testing.assert_allclose(ours, scaled, rtol=1e-12, atol=1e-12)
    again = FittedColumns.from_json(data.columns.to_json())
    assert again.labels == data.columns.labels


@pytest.mark.parametrize(
    ("labels", "kind", "classes"),
    [
        ([row % 3 for row in range(60)], "integer", ("0", "1", "2")),
        ([row % 3 + 4 for row in range(60)], "integer", ("4", "5", "6")),
        (range(1000, 1060), "integer", ()),
        ([row + 0.5 for row in range(60)], "number", ()),
        (["b", "a", "c"] * 20, "class", ("a", "b", "c")),
        (["true", "false"] * 30, "class", ("false", "true")),
    ],
)
def test_kinds_of_labels_are_inferred(tmp_path, labels, kind, classes):
    data = built(tmp_path, labels, split={"by": "hash"})
    label = data.columns.labels["y"]
    assert (label.kind, label.classes) == (kind, classes)
    assert sum(label.counts) == (data.columns.rows["train"] if classes else 0)


def test_classes_may_be_declared(tmp_path):
    column = {"name": "category", "vocabulary": ["6", "5", "4"]}
    labels = [row % 3 + 4 for row in range(60)]
    data = built(tmp_path, labels, columns={"y": column})
    assert data.columns.class_names == ("6", "5", "4")
    _, indices = data.train.take(slice(None))
    counts = np.bincount(indices, minlength=3)
    assert data.columns.labels["y"].counts == tuple(counts.tolist())


def test_labels_of_an_earlier_version_are_read(tmp_path):
    plain = built(tmp_path, PRICES).columns.to_json()
    plain["labels"]["y"] = {"kind": "number", "classes": []}
    label = FittedColumns.from_json(_signed(plain)).labels["y"]
    assert (label.offset, label.divisor, label.counts) == (0.0, 1.0, ())


def _signed(plain):
    from specflow.runtime.file_digests import signed

    return signed({key: value for key, value in plain.items() if key != "digest"})


BAD = {
    "label_of_one_class": (["a"] * 20, {}),
    "labels_of_no_class": ([""] * 20, {"columns": {"y": "category"}}),
    "labels_of_no_number": ([""] * 20, {"columns": {"y": "number"}}),
    "label_missing": (["1.5", "2.5", ""] * 9, {}),
    "label_negative_for_log": (
        [f"{row - 3.5}" for row in range(30)],
        {"columns": {"y": {"name": "number", "transform": "log"}}},
    ),
    "label_settings": (
        range(30),
        {"columns": {"y": {"name": "number", "quantiles": 3, "missing": "median"}}},
    ),
    "label_not_a_number": (["1.5", "2.5"] * 15 + ["nan", "inf"], {}),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_labels_are_reported_whole(case, tmp_path, monkeypatch, golden):
    monkeypatch.chdir(tmp_path)
    labels, settings = BAD[case]
    rows = [f"{row},{label}" for row, label in enumerate(labels)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *rows]))
    with pytest.raises(DataError) as raised:
        build_data(TableConfig(files=["t.csv"], labels=["y"], **settings))
    golden(f"tables/{case}.txt", f"{raised.value}\n")


SEVERAL = {
    "weights": ({"labels": ["y"], "weights": "w"}, ["1", "-1", "", "x", "2"] * 8),
    "weights_of_zero": ({"labels": ["y"], "weights": "w"}, ["0"] * 40),
    "weights_missing": ({"labels": ["y"], "weights": "ww"}, ["1"] * 40),
    "joined_labels": ({"labels": ["y", "w"], "joined_labels": True}, range(40)),
    "joined_label": ({"labels": ["y"], "joined_labels": True}, range(40)),
}


@pytest.mark.parametrize("case", SEVERAL)
def test_bad_weights_and_joined_labels_are_reported(
    case, tmp_path, monkeypatch, golden
):
    monkeypatch.chdir(tmp_path)
    settings, column = SEVERAL[case]
    rows = [f"{row},{row % 2},{cell}" for row, cell in enumerate(column)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y,w", *rows]))
    with pytest.raises(DataError) as raised:
        build_data(TableConfig(files=["t.csv"], **settings))
    golden(f"tables/{case}.txt", f"{raised.value}\n")


@pytest.mark.parametrize("joined", [None, False])
def test_labels_of_zero_and_one_are_joined(tmp_path, joined):
    path = tmp_path / "t.csv"
    rows = [f"{row},{row % 2},{str(row % 3 == 0).lower()},1" for row in range(40)]
    path.write_text("\n".join(["x,a,b,w", *rows]))
    for weights in (None, "w"):
        config = TableConfig(
            files=[str(path)],
            labels=["a", "b"],
            weights=weights,
            joined_labels=joined,
            split={"by": "hash"},
        )
        data = build_data(config)
        x, labels = data.train.take(slice(None))
        assert x["x"].shape[1] == (1 if weights else 2)
        names = {"labels"} if joined is None else {"a", "b"}
        if weights is None and joined is None:
            assert labels.dtype == np.int32
            assert labels.shape == (len(x["x"]), 2)
        else:
            assert set(labels) == names | ({"w"} if weights else set())
        again = FittedColumns.from_json(data.columns.to_json())
        assert again.digest == data.columns.digest


def test_constant_labels_are_a_warning(tmp_path):
    with pytest.warns(SpecflowWarning) as caught:
        data = built(tmp_path, [2.5] * 30)
    assert str(caught[0].message) == (
        "column y: is 2.5 in all 24 training rows: there is nothing to learn. Expected "
        "labels that differ."
    )
    assert data.columns.labels["y"].divisor == 1.0
