"""The shipped tables: the same numbers as scikit-learn's own loaders."""

import importlib.util

import numpy as np
import pytest
from sklearn import datasets
from sklearn.preprocessing import StandardScaler

from specflow.config.sections.data import DigitsConfig
from specflow.config.sections.data_sources import (
    BreastCancerConfig,
    DiabetesConfig,
    WineConfig,
)
from specflow.data import sklearn_sets
from specflow.data.holdout import held_out_rows
from specflow.diagnostics.errors import DataError

READERS = {
    "digits": (sklearn_sets.read_digits, {}),
    "diabetes": (sklearn_sets.read_diabetes, {"scaled": False}),
    "breast_cancer": (sklearn_sets.read_breast_cancer, {}),
    "wine": (sklearn_sets.read_wine, {}),
}


def _sklearn(name):
    return getattr(datasets, f"load_{name}")(return_X_y=True, **READERS[name][1])


@pytest.mark.parametrize("name", READERS)
def test_tables_are_those_of_scikit_learn(name):
    values, labels = READERS[name][0]()
    their_values, their_labels = _sklearn(name)
    np.testing.assert_array_equal(values, their_values)
    np.testing.assert_array_equal(labels, their_labels)


@pytest.mark.parametrize("name", READERS)
def test_a_table_whose_file_moved_comes_from_the_public_loader(name, monkeypatch):
    def moved(*_, **__):
        raise FileNotFoundError

    expected = READERS[name][0]()
    with monkeypatch.context() as patched:
        patched.setattr(sklearn_sets.np, "loadtxt", moved)
        # scikit-learn reads with the same function: give its loader a plain answer.
        patched.setattr(datasets, f"load_{name}", lambda **options: (options, expected))
        options, table = READERS[name][0]()
    assert table is expected
    assert options == {"return_X_y": True, **READERS[name][1]}


def test_without_scikit_learn_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError) as caught:
        sklearn_sets.read_digits()
    assert str(caught.value) == (
        "data=digits: scikit-learn, which ships this data set, is not installed. "
        "Run pip install scikit-learn."
    )


def test_digits_are_images_between_0_and_1():
    pixels, classes = _sklearn("digits")
    _, held_rows = held_out_rows(1797, 0.2, 0)
    train, held = sklearn_sets.digits(DigitsConfig())
    features, labels = held.take(slice(None))
    assert (len(train), len(held)) == (1438, 359)
    assert features["image"].dtype == np.float32
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(
        features["image"], (pixels[held_rows] / 16).astype("f4").reshape(-1, 8, 8, 1)
    )
    np.testing.assert_array_equal(labels, classes[held_rows])


@pytest.mark.parametrize(
    ("name", "build", "config"),
    [
        ("diabetes", sklearn_sets.diabetes, DiabetesConfig),
        ("breast_cancer", sklearn_sets.breast_cancer, BreastCancerConfig),
        ("wine", sklearn_sets.wine, WineConfig),
    ],
)
def test_tables_are_standardized_by_the_training_rows(name, build, config):
    values, labels = _sklearn(name)
    train_rows, held_rows = held_out_rows(len(values), 0.25, 3)
    scaler = StandardScaler().fit(values[train_rows])
    sources = build(config(eval_fraction=0.25, split_seed=3))
    for source, rows in zip(sources, (train_rows, held_rows), strict=True):
        features, their_labels = source.take(slice(None))
        assert features["x"].dtype == np.float32
        # float32 keeps 24 bits; values reach 12 standard deviations.
        np.testing.assert_allclose(
            features["x"], scaler.transform(values[rows]), rtol=1e-6, atol=1e-6
        )
        np.testing.assert_array_equal(their_labels, labels[rows])


def test_tables_keep_their_own_units_when_asked():
    values, _ = _sklearn("diabetes")
    train_rows, _ = held_out_rows(442, 0.2, 0)
    train, _ = sklearn_sets.diabetes(DiabetesConfig(standardize=False))
    np.testing.assert_array_equal(
        train.take(slice(None))[0]["x"], values[train_rows].astype("f4")
    )


def test_a_constant_column_does_not_divide_by_zero():
    # 0.1 is no binary fraction: its computed mean and deviation are not exact.
    train, held = sklearn_sets.standardized(
        np.full((7, 1), 0.1), np.array([[0.1], [1.1]])
    )
    np.testing.assert_array_equal(train, np.zeros((7, 1)))
    np.testing.assert_array_equal(held, [[0.0], [1.0]])


@pytest.mark.parametrize("seed", [0, 1])
def test_every_row_is_on_exactly_one_side_of_the_split(seed):
    train, held = held_out_rows(101, 0.3, seed)
    assert len(held) == 30
    assert sorted([*train, *held]) == list(range(101))
    again = held_out_rows(101, 0.3, seed)
    np.testing.assert_array_equal(held, again[1])


def test_another_split_seed_holds_out_other_rows():
    assert set(held_out_rows(101, 0.3, 0)[1]) != set(held_out_rows(101, 0.3, 1)[1])


@pytest.mark.parametrize(("fraction", "held"), [(0.1, 0), (0.9, 4)])
def test_a_split_that_leaves_one_side_empty_is_refused(fraction, held):
    with pytest.raises(DataError) as caught:
        held_out_rows(4, fraction, 0)
    assert str(caught.value) == (
        f"data.eval_fraction: {fraction} of 4 rows holds out {held}. "
        "Expected at least one row to train on and one to evaluate on."
    )
