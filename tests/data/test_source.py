"""Rows in memory: what is checked at the edge, and what comes back."""

import ml_dtypes
import numpy as np
import pytest

from specflow.data.source import ArraySource, RowSpec, Source, check_range
from specflow.diagnostics.errors import DataError


def test_rows_come_back_in_the_order_asked_for_with_nesting_kept():
    source = ArraySource(
        {"x": np.arange(6).reshape(3, 2), "meta": {"id": np.array([7, 8, 9])}},
        {"y": np.array([0.5, 1.5, 2.5])},
    )
    features, labels = source.take(np.array([2, 0, 2]))
    assert len(source) == 3
    assert isinstance(source, Source)
    np.testing.assert_array_equal(features["x"], [[4, 5], [0, 1], [4, 5]])
    np.testing.assert_array_equal(features["meta"]["id"], [9, 7, 9])
    np.testing.assert_array_equal(labels["y"], [2.5, 0.5, 2.5])


def test_a_slice_takes_views_and_absent_labels_stay_absent():
    x = np.arange(10, dtype=np.int32)
    features, labels = ArraySource(x).take(slice(2, 5))
    assert np.shares_memory(features, x)
    assert labels is None


def test_rows_of_an_array_that_is_not_contiguous_are_the_same():
    x = np.arange(24).reshape(6, 4)[::2, 1:]
    rows = np.array([2, 1, 1])
    features, _ = ArraySource(x).take(rows)
    np.testing.assert_array_equal(features, x[rows])


def test_spec_gives_shape_and_dtype_of_a_row():
    source = ArraySource({"x": np.zeros((4, 8, 2), np.float32)}, np.zeros(4, np.int32))
    assert source.spec() == (
        {"x": RowSpec((8, 2), np.dtype("float32"))},
        RowSpec((), np.dtype("int32")),
    )


def _message(features, labels=None, **options) -> str:
    with pytest.raises(DataError) as caught:
        ArraySource(features, labels, **options)
    return str(caught.value)


def test_different_numbers_of_rows_are_all_named_with_both_counts():
    features = {"a": np.zeros((10, 2)), "b": np.zeros(9)}
    assert _message(features, np.zeros(1_200)) == (
        "features.b: has 9 rows. Expected 10 rows, as features.a has.\n"
        "labels: has 1,200 rows. Expected 10 rows, as features.a has."
    )


def test_an_empty_data_set_is_named():
    assert _message({"x": np.zeros((0, 3))}, np.zeros(0)) == (
        "features.x: has no rows: the data set is empty. Expected at least one row."
    )


def test_no_feature_at_all_is_named():
    assert _message({}, np.zeros(3)) == "features: holds no array."


@pytest.mark.parametrize(
    ("value", "named"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")]
)
def test_the_first_row_that_is_not_finite_is_named(value, named):
    x = np.zeros((6, 2, 2))
    x[4, 1, 0] = x[5, 0, 0] = value
    assert _message({"x": x}, origin="train.npz") == (
        f"features.x: row 4 has {named} (train.npz). Expected finite numbers. "
        "Drop or fill such rows first."
    )


def test_a_nan_far_down_in_bfloat16_labels_is_found():
    labels = np.zeros(70_000, ml_dtypes.bfloat16)
    labels[69_000] = np.nan
    assert _message({"x": np.zeros(70_000)}, labels) == (
        "labels: row 69000 has nan. Expected finite numbers. "
        "Drop or fill such rows first."
    )


def test_texts_objects_and_scalars_are_no_rows():
    message = _message({"name": np.array(["a", "b"]), "x": np.array([{}, {}])}, 3.0)
    assert message == (
        "features.name: is <U1[2]. Expected an array of numbers, rows first. If it "
        "says which row is which, name it in data.ids.\n"
        "features.x: is object[2]. Expected an array of numbers, rows first.\n"
        "labels: is float64[]. Expected an array of numbers, rows first."
    )


def test_a_label_out_of_range_is_named_with_its_row_and_the_reason():
    labels = np.zeros(20, np.int32)
    labels[17] = 12
    source = ArraySource({"x": np.zeros(20)}, labels)
    with pytest.raises(DataError) as caught:
        check_range(source, "labels", 0, 10, because="the model has 10 classes")
    assert str(caught.value) == (
        "labels: row 17 has 12. "
        "Expected integers in [0, 10), because the model has 10 classes."
    )
    check_range(source, "labels", 0, 13)


def test_a_range_is_checked_in_nested_labels_of_many_axes():
    tokens = np.zeros((70_000, 2), np.int32)
    tokens[66_000, 1] = -1
    source = ArraySource(np.zeros(70_000), {"tokens": tokens}, origin="eval.npz")
    with pytest.raises(DataError) as caught:
        check_range(source, "labels.tokens", 0, 256)
    assert str(caught.value) == (
        "labels.tokens: row 66000 has -1 (eval.npz). Expected integers in [0, 256)."
    )


def test_a_path_that_leads_nowhere_gets_the_near_miss():
    source = ArraySource({"image": np.zeros(2)}, np.zeros(2))
    with pytest.raises(DataError) as caught:
        source.column("features.imag")
    assert str(caught.value) == (
        "features.imag: there is no such array. "
        "Expected one of features.image, labels. Did you mean features.image?"
    )


@pytest.mark.parametrize("value", [1.5, 1.0000001, -0.1])
def test_a_number_between_two_classes_and_the_next_is_out_of_range(value):
    source = ArraySource(np.zeros((3, 1)), np.array([0.0, value, 1.0], np.float32))
    with pytest.raises(DataError) as caught:
        check_range(source, "labels", 0, 2, because="of two classes")
    assert str(caught.value) == (
        f"labels: row 1 has {np.float32(value)}. Expected numbers in [0, 1], because "
        "of two classes."
    )
    ends = ArraySource(np.zeros((3, 1)), np.array([0.0, 0.25, 1.0]))
    check_range(ends, "labels", 0, 2)  # A probability is between both classes.


@pytest.mark.parametrize(
    "ids", [np.arange(3), np.zeros(4), np.zeros((4, 1), int), np.array([None] * 4)]
)
def test_ids_are_one_text_or_whole_number_a_row(ids):
    with pytest.raises(DataError, match=r"ids\.name: is .* for each of 4 rows"):
        ArraySource({"x": np.zeros(4)}, ids={"name": ids})


def test_ids_are_text_whatever_bytes_they_were():
    ids = {"name": np.array(["é", "b"]).astype("U").astype(object)}
    encoded = np.array([name.encode() for name in ids["name"]])
    assert ArraySource(np.zeros(2), ids={"name": encoded}).ids["name"].tolist() == [
        "é",
        "b",
    ]


def test_two_arrays_of_one_path_are_refused():
    x = np.zeros(2)
    assert _message({"a": {"b": x}, "a.b": x}) == (
        "features.a.b: two arrays have this path. Take the dots out of the names."
    )
