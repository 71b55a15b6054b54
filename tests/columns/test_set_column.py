"""Columns of several items a row, against scikit-learn."""

import json
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import MultiLabelBinarizer

from specflow.columns import CategoryColumn, ItemCounts, SetColumn

ROWS = st.lists(st.lists(st.sampled_from("abcdä"), max_size=5), min_size=1, max_size=20)
TEXTS = [
    "The quick brown fox jumps over the lazy dog",
    "the dog, the fox & 7 more: snake_case café",
    "",
    "Straße",
]


def fitted(values, *, items=None, **settings):
    """A column fitted to raw values."""
    unfitted = SetColumn(items=CategoryColumn(buckets=0, missing="none"), **settings)
    counts = ItemCounts()
    parsed = unfitted.parse([values])[0]
    counts.add(parsed, unfitted.present(parsed))
    return SetColumn.fit(counts, items=items or {}, **settings)


def features(column, *values) -> Any:
    parsed, problems = column.parse(values)
    assert problems == []
    return column.apply(parsed)


@hypothesis.given(ROWS)
def test_a_bag_is_that_of_scikit_learn(rows):
    column = fitted(rows, items={"oov_buckets": 0, "missing": "none"}, binary=True)
    binarizer = MultiLabelBinarizer(classes=list(column.items.vocabulary))
    np.testing.assert_array_equal(features(column, rows), binarizer.fit_transform(rows))


@pytest.mark.parametrize("ngrams", [1, 2, 3])
def test_a_bag_of_words_is_that_of_scikit_learn(ngrams):
    column = fitted(
        TEXTS,
        items={"oov_buckets": 0, "missing": "none"},
        tokenizer="words",
        lowercase=True,
        ngrams=ngrams,
    )
    vocabulary = list(column.items.vocabulary)
    counts = CountVectorizer(
        token_pattern=r"\w+", ngram_range=(1, ngrams), vocabulary=vocabulary
    )
    rows = [*TEXTS, "a quick unknown fox"]
    expected = counts.transform(rows).toarray()
    np.testing.assert_array_equal(features(column, rows), expected)


@hypothesis.given(ROWS, st.integers(1, 4))
def test_blocks_of_rows_are_fitted_like_all_rows_in_any_order(rows, block):
    unfitted = SetColumn(items=CategoryColumn(buckets=0, missing="none"))
    counts = ItemCounts()
    for start in reversed(range(0, len(rows), block)):
        part = ItemCounts()
        part.add(unfitted.parse([rows[start : start + block]])[0])
        counts.merge(part)
    column = SetColumn.fit(counts, items={}, encoding="embedding")
    assert column == fitted(rows, encoding="embedding")
    assert SetColumn.from_json(json.loads(json.dumps(column.to_json()))) == column


@hypothesis.given(ROWS)
def test_lists_and_texts_with_separators_are_the_same_sets(rows):
    column = fitted(rows, encoding="embedding")
    texts = [" | ".join(row) for row in rows]
    arrays = [np.array(row, np.str_) for row in rows]
    for values in (texts, arrays, [tuple(row) for row in rows]):
        for name, array in features(column, rows).items():
            np.testing.assert_array_equal(features(column, values)[name], array)


def test_rows_are_padded_and_longer_ones_lose_their_last_items():
    column = fitted(["a|b", "b"], items={"oov_buckets": 0}, encoding="sequence")
    assert column.length == 2
    made = features(column, ["b|x|a|b", "", None, "a"])
    # The vocabulary is b, a.
    assert made["ids"].tolist() == [[0, 0], [0, 0], [0, 0], [1, 0]]
    # An unknown item keeps its place in a sequence.
    none, one = [False, False], [True, False]
    assert made["mask"].tolist() == [one, none, none, one]
    bag = fitted(["a|b", "b"], items={"oov_buckets": 0}, encoding="embedding")
    made = features(bag, ["b|x|a|b"])
    assert made["ids"].tolist() == [[0, 1]]
    assert made["mask"].tolist() == [[True, True]]


def test_a_row_without_items_has_an_index_if_a_training_row_has():
    column = fitted(["a", ""], items={"oov_buckets": 0}, encoding="embedding")
    assert column.items.missing == "own"
    assert features(column, ["x", "a", None])["ids"].tolist() == [[1], [0], [1]]
    counts = fitted(["a", ""], items={"oov_buckets": 0})
    assert features(counts, ["x", "a|a", None]).tolist() == [[0, 1], [2, 0], [0, 1]]
    assert fitted(["a"]).items.missing == "none"
    # A separator alone, and a null in a list, are no items.
    assert fitted(["a", "|"]).items.missing == "own"
    assert fitted([["a"], [None]]).items.missing == "own"


def test_bytes_are_their_own_indices():
    items = {"identity": 256, "oov_buckets": 0}
    column = fitted(["é!", ""], items=items, tokenizer="bytes", encoding="sequence")
    made = features(column, ["é!", "a"])
    assert made["ids"].tolist() == [[*"é!".encode()], [97, 0, 0]]
    assert made["mask"].sum(1).tolist() == [3, 1]


def test_weights_belong_to_places_and_are_as_many_as_the_items():
    items = CategoryColumn(vocabulary=("a", "b"), buckets=0, missing="none")
    column = SetColumn(items=items, sources=("c", "w"))
    # The empty item and the unknown one take their weights along.
    made = features(column, ["a||x|b"], ["1|2|3|4"])
    assert made.tolist() == [[1.0, 4.0]]
    _, problems = column.parse([["a|b", "a", "", "b"], [[1.0], "x", None, 2.5]])
    (problem,) = problems
    assert (problem.source, problem.rows) == ("w", [0, 1])
    assert problem.expected == "as many numbers as c has items"


def test_integers_that_are_expected_must_be_integers():
    items = CategoryColumn(buckets=0, missing="none", identity=4)
    _, (problem,) = SetColumn(items=items).parse([[[1, 9], ["x"], "2|b", [-1, None]]])
    assert problem.rows == [1, 2]
    must = SetColumn(
        items=CategoryColumn(vocabulary=("a",), buckets=0, missing="error")
    )
    _, (problem,) = must.parse([["a", "b", ""]])
    assert (problem.rows, problem.expected) == ([1, 2], "at least one item")
