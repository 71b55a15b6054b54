"""Evaluation batches: every row once, in order, whatever the sizes."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.data.batch import EvalBatches
from specflow.data.byte_text import WindowSource
from specflow.data.plan import Share
from specflow.diagnostics.errors import DataError, SpecflowWarning

sizes = st.integers(1, 40)


def _arrays(rows):
    return {"x": np.arange(2.0 * rows).reshape(rows, 2)}, np.arange(rows)


def _real_rows(batches):
    rows = [batch.labels[batch.mask] for batch in batches]
    return np.concatenate(rows).tolist() if rows else []


def _check_form(batches, size):
    for batch in batches:
        assert batch.mask.dtype == np.bool_
        assert batch.mask.shape == (size,)
        assert batch.features["x"].shape == (size, 2)
        assert batch.labels.shape == (size,)
        assert batch.rows == batch.mask.sum()
        # Padding comes last.
        assert batch.mask.tolist() == sorted(batch.mask.tolist(), reverse=True)
        np.testing.assert_array_equal(batch.features["x"][:, 0], 2.0 * batch.labels)


@given(sizes, sizes)
def test_every_row_comes_once_in_order(rows, batch_size):
    batches = list(EvalBatches(_arrays(rows), batch_size))
    _check_form(batches, batch_size)
    assert len(batches) == -(-rows // batch_size)
    assert _real_rows(batches) == list(range(rows))


@given(st.lists(st.integers(0, 12), max_size=8), st.integers(1, 9))
def test_every_row_of_ragged_batches_comes_once_in_order(counts, batch_size):
    features, labels = _arrays(sum(counts))
    cuts = np.cumsum(counts)[:-1]
    parts = [
        ({"x": x}, y)
        for x, y in zip(
            np.split(features["x"], cuts), np.split(labels, cuts), strict=True
        )
    ]
    is_divided = max(counts, default=0) > batch_size
    with (
        pytest.warns(SpecflowWarning, match="is divided into batches of")
        if is_divided
        else contextlib.nullcontext()
    ):
        batches = list(EvalBatches(iter(parts), batch_size))
    _check_form(batches, batch_size)
    assert _real_rows(batches) == list(range(sum(counts)))


@given(sizes, st.integers(1, 10), st.integers(1, 4))
def test_the_parts_of_all_processes_are_the_batch(rows, share, processes):
    batch_size = share * processes
    whole = list(EvalBatches(_arrays(rows), batch_size))
    parts = [
        list(EvalBatches(_arrays(rows), batch_size, share=Share((i,), processes)))
        for i in range(processes)
    ]
    assert {len(part) for part in parts} == {len(whole)}
    for batch, *shares in zip(whole, *parts, strict=True):
        for name in ("labels", "mask"):
            joined = np.concatenate([getattr(part, name) for part in shares])
            np.testing.assert_array_equal(joined, getattr(batch, name))
        assert sum(part.rows for part in shares) == batch.rows


@given(sizes, sizes)
def test_unpadded_batches_end_with_the_remainder(rows, batch_size):
    batches = list(EvalBatches(_arrays(rows), batch_size, padded=False))
    assert [batch.rows for batch in batches] == [
        min(batch_size, rows - start) for start in range(0, rows, batch_size)
    ]
    assert all(batch.mask.all() for batch in batches)
    assert _real_rows(batches) == list(range(rows))


def test_unpadded_batches_of_an_iterable_stay_as_they_are():
    parts = [np.arange(3), np.arange(5)]
    batches = list(EvalBatches(parts, 4, padded=False))
    assert [batch.features.tolist() for batch in batches] == [
        part.tolist() for part in parts
    ]
    assert [len(batch.mask) for batch in batches] == [3, 5]


def test_padding_repeats_the_last_row():
    (batch,) = EvalBatches((np.array([3.0, 5.0]), None), 4)
    assert batch.features.tolist() == [3.0, 5.0, 5.0, 5.0]
    (streamed,) = EvalBatches([np.array([3.0, 5.0])], 4)
    assert streamed.features.tolist() == [3.0, 5.0, 5.0, 5.0]
    assert streamed.labels is None


def test_a_limit_counts_batches():
    assert _real_rows(EvalBatches(_arrays(10), 3, limit=2)) == list(range(6))
    assert len(list(EvalBatches(_arrays(10), 3, limit=9))) == 4


def test_a_limit_draws_no_batch_too_many():
    stream = iter([np.zeros(2)] * 5)
    assert len(list(EvalBatches(stream, 2, limit=2))) == 2
    assert len(list(stream)) == 3


def test_a_source_can_be_gone_through_again():
    batches = EvalBatches(_arrays(5), 2)
    assert _real_rows(batches) == _real_rows(batches) == list(range(5))


def test_windows_of_text_are_evaluated_once_each():
    source = WindowSource(np.arange(23, dtype=np.uint8), 3)
    batches = EvalBatches(source, 4)
    tokens = np.concatenate([b.features["tokens"][b.mask] for b in batches])
    assert tokens.reshape(-1).tolist() == list(range(21))


def test_an_empty_iterable_gives_nothing():
    assert list(EvalBatches([], 4)) == []


def test_processes_cannot_share_a_ragged_batch():
    with pytest.raises(DataError) as caught:
        EvalBatches(_arrays(5), 4, padded=False, share=Share((0,), 2))
    assert str(caught.value) == (
        "evaluation: several processes share each batch, in 2 parts. "
        "Expected one process, or batches of one size. "
        "Let model_fn take `mask`, so that batches can be padded."
    )


def test_an_odd_batch_is_named_by_its_number():
    with pytest.raises(DataError) as caught:
        list(EvalBatches([np.zeros(2), 3], 2))
    assert (
        str(caught.value) == "evaluation batch 1: is int. Expected (features, labels)."
    )


def test_an_input_of_no_known_form_is_named():
    with pytest.raises(DataError) as caught:
        EvalBatches(None, 2)
    assert str(caught.value) == (
        "the input: is NoneType. "
        "Expected arrays as (features, labels), or an iterable of batches."
    )
