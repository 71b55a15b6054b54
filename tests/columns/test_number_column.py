"""Columns of numbers, against scikit-learn, NumPy and TensorFlow."""

import json
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import KBinsDiscretizer, MinMaxScaler, StandardScaler

from specflow.columns import NumberColumn
from tests.columns.test_fingerprint64 import CASES

RNG = np.random.default_rng(0)
VALUES = np.exp(RNG.normal(3.0, 2.0, 1_001))
FINITE = st.floats(-1e12, 1e12, allow_nan=False)
NUMBERS = st.lists(FINITE, min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("scale", "scaler"),
    [("standardize", StandardScaler()), ("minmax", MinMaxScaler())],
)
def test_scaling_is_that_of_scikit_learn(scale, scaler):
    column = NumberColumn.fit(VALUES, scale=scale)
    expected = scaler.fit_transform(VALUES[:, None])
    np.testing.assert_allclose(column.apply(VALUES), expected, rtol=1e-6, atol=1e-7)


def test_quantile_buckets_are_those_of_scikit_learn():
    column = NumberColumn.fit(VALUES, quantiles=7)
    binned = KBinsDiscretizer(
        7, encode="onehot-dense", strategy="quantile", quantile_method="linear"
    )
    np.testing.assert_array_equal(
        column.apply(VALUES), binned.fit_transform(VALUES[:, None])
    )


@pytest.mark.parametrize("rule", ["mean", "median", 3.5])
def test_missing_numbers_are_filled_as_scikit_learn_does(rule):
    values = np.where(RNG.random(1_001) < 0.2, np.nan, VALUES)
    column = NumberColumn.fit(values, scale="none", missing=rule)
    options = (
        {"strategy": rule}
        if isinstance(rule, str)
        else {"strategy": "constant", "fill_value": rule}
    )
    imputer = SimpleImputer(add_indicator=True, **options)
    expected = imputer.fit_transform(values[:, None]).astype(np.float32)
    np.testing.assert_allclose(column.apply(values), expected, rtol=1e-6)


def test_transform_and_clip_precede_the_scaling():
    column = NumberColumn.fit(VALUES, clip=(1.0, 100.0), transform="log")
    moved = np.log(np.clip(VALUES, 1.0, 100.0))
    expected = ((moved - moved.mean()) / moved.std()).astype(np.float32)
    np.testing.assert_allclose(column.apply(VALUES)[:, 0], expected, atol=1e-6)
    assert column.outside(np.array([-5.0, 0.0, 7.0])).tolist() == [False] * 3
    bare = NumberColumn.fit(VALUES, transform="log")
    assert bare.outside(np.array([-5.0, 0.0, 7.0, np.nan])).tolist() == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("numeric scalar", {"scale": "none"}),
        ("numeric integers", {"scale": "none"}),
        ("bucketized boundaries 0 10 100 (left closed)", {"buckets": [0, 10, 100]}),
    ],
)
def test_numbers_are_those_of_tensorflow(name, settings):
    case = next(case for case in CASES if case["name"] == name)
    values = np.array(case["features"]["x"], np.float64)[:, 0]
    column = NumberColumn.fit(values, **settings)
    np.testing.assert_array_equal(column.apply(values), np.float32(case["dense"]))


def test_a_normalizer_of_tensorflow_is_an_offset_and_a_divisor():
    name = "numeric with normalizer (x-3)/2"
    case = next(case for case in CASES if case["name"] == name)
    values = np.array(case["features"]["x"], np.float64)[:, 0]
    column = NumberColumn(offset=3.0, divisor=2.0)
    np.testing.assert_array_equal(column.apply(values), np.float32(case["dense"]))


def test_a_constant_column_becomes_zero():
    for scale in ("standardize", "minmax"):
        column = NumberColumn.fit(np.full(5, 0.1), scale=scale)
        assert column.apply(np.array([0.1, 1.1])).tolist() == [[0.0], [1.0]]


@hypothesis.given(NUMBERS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_bit_of_a_fit(numbers, random):
    values = np.array([*numbers, math.nan])
    shuffled = values.tolist()
    random.shuffle(shuffled)
    for settings in ({}, {"scale": "minmax"}, {"quantiles": 4}, {"missing": "median"}):
        fits = [
            NumberColumn.fit(np.array(rows), **settings) for rows in (values, shuffled)
        ]
        assert fits[0] == fits[1]


@hypothesis.given(NUMBERS)
def test_a_fit_survives_json(numbers):
    column = NumberColumn.fit(np.array(numbers), clip=(-1e6, None), quantiles=3)
    plain = json.loads(json.dumps(column.to_json()))
    assert NumberColumn.from_json(plain) == column
