"""Laws of the training order: nothing lost, nothing twice, the same from anywhere."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.data.pipeline import as_train_batches
from specflow.data.plan import BatchPlan, Share
from specflow.data.source import ArraySource
from specflow.diagnostics.errors import DataError

sizes = st.integers(1, 40)
batches = st.integers(1, 50)
seeds = st.integers(0, 2**31)


def _plan(rows, batch_size, **options):
    return BatchPlan(ArraySource(np.arange(rows)), batch_size, **options)


@given(sizes, batches, seeds)
def test_every_row_is_seen_exactly_once_an_epoch(rows, batch_size, seed):
    epochs = 3
    steps = -(-epochs * rows // batch_size)
    stream = _plan(rows, batch_size, seed=seed).row_ids(0, steps).reshape(-1)
    for epoch in range(epochs):
        seen = stream[epoch * rows : (epoch + 1) * rows]
        assert sorted(seen) == list(range(rows))


@given(sizes, batches, st.integers(0, 30), st.integers(1, 9), st.integers(1, 9))
def test_any_cut_of_the_steps_gives_the_same_stream(rows, batch_size, first, k, more):
    whole = _plan(rows, batch_size).row_ids(first, k + more)
    fresh = _plan(rows, batch_size)
    tail = fresh.row_ids(first + k, more)
    head = fresh.row_ids(first, k)
    np.testing.assert_array_equal(np.concatenate([head, tail]), whole)


@given(sizes, st.integers(1, 12), st.integers(1, 4), st.integers(0, 9))
def test_the_parts_of_all_processes_are_the_batch(rows, share, processes, step):
    batch_size = share * processes
    whole = _plan(rows, batch_size).row_ids(step, 2)
    parts = [
        _plan(rows, batch_size, share=Share((index,), processes)).row_ids(step, 2)
        for index in range(processes)
    ]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_without_shuffling_rows_come_in_their_own_order():
    # By hand: 0 1 2 3 4 0 1 2 ... in threes.
    plan = _plan(5, 3, shuffle=False)
    np.testing.assert_array_equal(plan.row_ids(0, 3), [[0, 1, 2], [3, 4, 0], [1, 2, 3]])
    assert [plan.epoch(step) for step in range(4)] == [0, 0, 1, 1]


def test_orders_differ_between_epochs_and_between_seeds():
    plan = _plan(50, 50, seed=1)
    first, second = plan.row_ids(0, 2)
    other = _plan(50, 50, seed=2).row_ids(0, 1)[0]
    assert (first != second).any()
    assert (first != other).any()


def test_an_epoch_is_the_permutation_that_numpy_draws():
    expected = np.random.default_rng([7, 1]).permutation(6)
    np.testing.assert_array_equal(_plan(6, 6, seed=7).row_ids(1, 1)[0], expected)


def test_rows_are_gathered_behind_an_axis_of_steps():
    x = np.random.default_rng(0).normal(size=(7, 3, 2)).astype(np.float32)
    plan = BatchPlan(ArraySource({"a": {"x": x}}, np.arange(7)), 4)
    features, labels = plan.rows(2, 3)
    assert features["a"]["x"].shape == (3, 4, 3, 2)
    np.testing.assert_array_equal(labels, plan.row_ids(2, 3))
    np.testing.assert_array_equal(features["a"]["x"], x[labels])


def test_bytes_of_a_step_count_this_process_alone():
    source = ArraySource(np.zeros((9, 3), np.float32), np.zeros(9, np.int8))
    plan = BatchPlan(source, 8, share=Share((1,), 2))
    features, labels = plan.rows(0, 1)
    assert plan.step_bytes() == features.nbytes + labels.nbytes == 4 * (12 + 1)


def test_a_batch_that_the_processes_cannot_share_is_named():
    with pytest.raises(DataError) as caught:
        _plan(5, 10, share=Share((0,), 4))
    assert str(caught.value) == (
        "batch_size: 10 rows do not divide into 4 parts. Expected a multiple of 4."
    )


@given(sizes, batches, batches, st.integers(0, 12), st.integers(1, 6), st.booleans())
def test_another_batch_size_continues_the_stream_behind_the_rows_that_were_seen(
    rows, former, batch_size, steps, more, shuffle
):
    """Batches of one row are the stream itself."""
    options = {"seed": 3, "shuffle": shuffle}
    before = _plan(rows, former, **options)
    seen = before.position(steps)
    after = _plan(rows, batch_size, start_step=steps, start_row=seen, **options)
    drawn = np.concatenate(
        [before.row_ids(0, steps).reshape(-1), after.row_ids(steps, more).reshape(-1)]
    )
    stream = _plan(rows, 1, **options).row_ids(0, len(drawn)).reshape(-1)
    np.testing.assert_array_equal(drawn, stream)
    assert after.position(steps + more) == len(drawn)


def test_a_chunk_may_begin_before_a_stream_that_has_no_rows_there():
    # Two steps of 2 rows were seen; with 5 a step, step 0 would begin at row -6.
    plan = _plan(9, 5, shuffle=False, start_step=2, start_row=4)
    assert plan.row_ids(0, 3)[2].tolist() == [4, 5, 6, 7, 8]
    assert plan.row_ids(0, 2).shape == (2, 5)


changes = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 4))
"""Rows of a process, processes, and steps until the next change."""


@given(sizes, st.lists(changes, min_size=2, max_size=5), st.booleans())
def test_over_changes_of_batch_size_and_processes_an_epoch_has_each_row_once(
    rows, parts, shuffle
):
    """Each resume has the position of a checkpoint alone, as JSON."""
    features, step, place, drawn = np.arange(rows), 0, None, []
    for own, processes, steps in parts:
        inputs = [
            as_train_batches(
                (features, features),
                batch_size=own * processes,
                steps_per_chunk=32,  # More than all steps: Grain makes later chunks.
                seed=5,
                shuffle=shuffle,
                start_step=step,
                place=place,
                share=Share((process,), processes),
            )
            for process in range(processes)
        ]
        chunks = [next(batches) for batches in inputs]
        together = np.concatenate([chunk.features for chunk in chunks], axis=1)
        first = step - chunks[0].first_step
        drawn.append(together[first : first + steps].reshape(-1))
        step += steps
        places = [json.loads(json.dumps(each.state(step))) for each in inputs]
        assert all(each == places[0] for each in places)
        place = places[0]
    seen = np.concatenate(drawn)
    assert place["rows"] == len(seen)
    assert place["epoch"] == len(seen) // rows
    for epoch in range(len(seen) // rows):
        part = np.sort(seen[epoch * rows : (epoch + 1) * rows])
        np.testing.assert_array_equal(part, np.arange(rows))
    # The order is that of an uninterrupted run, whose batches are of one row.
    stream = _plan(rows, 1, seed=5, shuffle=shuffle).row_ids(0, max(1, len(seen)))
    np.testing.assert_array_equal(seen, stream.reshape(-1)[: len(seen)])
