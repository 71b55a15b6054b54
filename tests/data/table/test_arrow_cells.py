"""Whole columns are parsed as the cells of served rows are, one by one."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.columns import CodedTexts, as_number, as_texts
from specflow.data.table.arrow_cells import coded_texts, leading_zeros, numbers_of

MISSING = ["", "NA", "nan", "-999"]
TEXTS = [
    *("1", " 2 ", "-3.5e2", "+7", "1.", ".5", "", "NA", "nan", "1e999", "abc", "+-1"),
    *("9007199254740993", "9007199254740992", "1_000", "0x1", "inf", "--1", "\t4"),
    *("-999", " NA\t", "NaN", "nan(1)", "-nan", "Infinity", "1e5", "1e", "1 2"),
    *("01", "-0", "1\n", "\u0661", "9" * 400, "1e-400", "0." + "9" * 400, "1\x00"),
]
NUMBER_TEXTS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-1e6, 1e6).map(lambda value: f" {value:.3f}"),
    st.sampled_from(TEXTS),
    st.text("0123456789+-.eEinfa \t", max_size=7),
    st.none(),
)


@given(st.lists(NUMBER_TEXTS, max_size=12), st.sampled_from([MISSING, ["NA"], []]))
def test_texts_of_numbers_are_read_as_the_served_ones(texts, missing):
    numbers, bad = numbers_of(pa.array(texts, pa.string()), missing)
    served = [as_number(text, missing) for text in texts]
    assert bad.tolist() == [row for row, value in enumerate(served) if value is None]
    expected = [np.nan if value is None else value for value in served]
    np.testing.assert_array_equal(numbers, expected)
    np.testing.assert_array_equal(np.signbit(numbers), np.signbit(expected))


@pytest.mark.parametrize("text", TEXTS)
def test_a_column_of_one_text_is_read_as_the_served_text(text):
    numbers, bad = numbers_of(pa.array([text, "5"]), MISSING)
    served = as_number(text, MISSING)
    assert bad.tolist() == ([0] if served is None else [])
    np.testing.assert_array_equal(numbers, [np.nan if served is None else served, 5.0])


@given(
    st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=9),
    st.sampled_from([pa.int64(), pa.float64(), pa.string(), pa.decimal128(30, 2)]),
)
def test_cells_of_every_type_have_the_texts_and_numbers_of_their_values(values, kind):
    cells = pa.array(values, pa.int64()).cast(kind, safe=False)
    assert list(coded_texts(cells)) == as_texts(cells.to_pylist())
    numbers, bad = numbers_of(cells, MISSING)
    served = [as_number(value, MISSING) for value in cells.to_pylist()]
    assert bad.tolist() == [row for row, value in enumerate(served) if value is None]
    expected = [np.nan if value is None else value for value in served]
    np.testing.assert_array_equal(numbers, np.array(expected, np.float64))


def test_texts_of_nested_and_json_values_are_those_of_each():
    for values in ([[1, 2], None, [1, 2]], [{"a": 1}, None]):
        assert list(coded_texts(pa.array(values))) == as_texts(values)
    values = json.loads('["a", 1, 1.0, true, null, "1"]')
    assert list(coded_texts(values)) == ["a", "1", "1", "true", "", "1"]


@given(st.lists(st.text("0179 x\t", max_size=4), max_size=9))
def test_leading_zeros_are_those_of_digits(texts):
    trimmed = [text.strip(" \t") for text in texts]
    expected = [
        row
        for row, text in enumerate(trimmed)
        if text.isdigit() and len(text) > 1 and text[0] == "0"
    ]
    assert leading_zeros(pa.array(texts, pa.string())).tolist() == expected
    assert leading_zeros(texts).tolist() == expected


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=5), min_size=1, max_size=4))
def test_joined_texts_are_all_texts_in_order(parts):
    all_texts = [text for part in parts for text in part]
    joined = CodedTexts.joined([CodedTexts.of(part) for part in parts])
    assert list(joined) == all_texts
    assert len(set(joined.texts)) == len(joined.texts)
    assert joined.counts() == CodedTexts.of(all_texts).counts()
