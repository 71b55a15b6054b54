"""Columns of categories, against TensorFlow and scikit-learn."""

import collections
import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder

from specflow.columns import CategoryColumn, as_texts
from tests.columns.test_fingerprint64 import CASES

WORDS = ["red", "green", "blue"]
TEXTS = st.lists(st.sampled_from(["a", "b", "c", "ä", ""]), max_size=30)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("vocabulary indicator", {"vocabulary": WORDS, "oov_buckets": 0}),
        ("vocabulary 2 oov buckets", {"vocabulary": WORDS[:2], "oov_buckets": 2}),
        ("hash bucket strings 10", {"hash_buckets": 10}),
        ("hash bucket integers 1000", {"hash_buckets": 1_000}),
    ],
)
def test_categories_are_those_of_tensorflow(name, settings):
    case = next(case for case in CASES if case["name"] == name)
    (values,) = case["features"].values()
    texts = as_texts([row[0] for row in values])
    if name == "hash bucket integers 1000":
        texts = ["" if text == "-1" else text for text in texts]
    column = CategoryColumn.fit(texts, missing="none", **settings)
    np.testing.assert_array_equal(column.apply(texts), np.float32(case["dense"]))


def test_one_hot_features_are_those_of_scikit_learn():
    texts = np.random.default_rng(0).choice(WORDS, 200).tolist()
    column = CategoryColumn.fit(texts, oov_buckets=0)
    encoder = OneHotEncoder(
        categories=[list(column.vocabulary)],
        handle_unknown="ignore",
        sparse_output=False,
    )
    encoder.fit(np.array(texts)[:, None])
    rows = [*texts, "pink"]
    expected = encoder.transform(np.array(rows)[:, None])
    np.testing.assert_array_equal(column.apply(rows), expected)


def test_the_vocabulary_has_the_frequent_texts_the_most_frequent_first():
    texts = ["b", "b", "a", "a", "c", "c", "c", "d"]
    assert CategoryColumn.fit(texts).vocabulary == ("c", "a", "b", "d")
    assert CategoryColumn.fit(texts, min_count=2).vocabulary == ("c", "a", "b")
    assert CategoryColumn.fit(texts, max_size=1).vocabulary == ("c",)


def test_a_missing_value_is_a_category_of_its_own_if_one_was_missing_in_training():
    seen = CategoryColumn.fit(["a", ""])
    assert seen.apply(["a", "z", ""]).tolist() == np.eye(3).tolist()
    unseen = CategoryColumn.fit(["a"])
    assert unseen.apply(["a", "z", ""]).tolist() == [[1, 0], [0, 1], [0, 0]]
    embedded = CategoryColumn.fit(["a"], encoding="embedding")
    assert embedded.apply(["a", "z", ""]).tolist() == [0, 1, 2]


@hypothesis.given(TEXTS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(texts, random):
    shuffled = random.sample(texts, len(texts))
    column = CategoryColumn.fit(texts)
    assert column == CategoryColumn.fit(shuffled)
    plain = json.loads(json.dumps(column.to_json()))
    assert CategoryColumn.from_json(plain) == column
    counts = collections.Counter(filter(None, texts))
    assert set(column.vocabulary) == set(counts)
    assert sorted(column.indices(list(column.vocabulary))) == list(range(len(counts)))
