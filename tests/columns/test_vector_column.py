"""Columns of vectors: each place is a column of numbers."""

import json

import hypothesis
import numpy as np
from hypothesis import strategies as st

from specflow.columns import NumberColumn, VectorColumn

FINITE = st.floats(-1e6, 1e6)
VECTORS = st.lists(st.tuples(FINITE, FINITE), min_size=2, max_size=20)


@hypothesis.given(VECTORS)
def test_each_place_is_fitted_and_applied_like_a_column_of_its_own(vectors):
    array = np.array(vectors)
    column = VectorColumn.fit(array)
    places = [NumberColumn.fit(place).apply(place) for place in array.T]
    np.testing.assert_array_equal(column.apply(array), np.concatenate(places, axis=1))
    assert VectorColumn.from_json(json.loads(json.dumps(column.to_json()))) == column


@hypothesis.given(VECTORS)
def test_every_form_of_a_vector_is_the_same(vectors):
    column = VectorColumn.fit(np.array(vectors))
    forms = [
        vectors,
        [list(vector) for vector in vectors],
        np.array(vectors),
        ["|".join(map(repr, vector)) for vector in vectors],
        [[repr(number) for number in vector] for vector in vectors],
    ]
    for form in forms:
        parsed, problems = column.parse([form])
        assert problems == []
        np.testing.assert_array_equal(parsed, np.array(vectors))


def test_vectors_of_other_lengths_and_texts_are_bad():
    column = VectorColumn.fit(np.array([[1.0, 2.0], [3.0, 5.0]]), missing="error")
    rows = [[1, 2], [1], "1|x", None, [1, None], "3|4", 7, [2**53 + 1, 1]]
    _, (problem,) = column.parse([rows])
    assert problem.rows == [1, 2, 3, 4, 6, 7]
    assert problem.expected == "2 numbers"
    _, (problem,) = column.parse([[[1, 2], [2**53 + 1, 1]]])
    assert problem.rows == [1]
    filled = VectorColumn.fit(np.array([[1.0, 2.0], [3.0, np.nan]]), scale="none")
    parsed, problems = filled.parse([[None, [1, "NA"]]])
    assert problems == []
    assert filled.apply(parsed).tolist() == [[2.0, 2.0, 1.0], [1.0, 2.0, 1.0]]
