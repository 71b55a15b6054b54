"""Batches from a user's iterable: chunks, places, and what odd batches are told."""

import json

import grain
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.data.plan import Share
from specflow.data.reused_iterators import track_iterator
from specflow.data.stream import StreamBatches
from specflow.diagnostics.errors import DataError, SpecflowWarning


def _batches(count, rows=2):
    for step in range(count):
        yield {"x": np.full((rows, 3), step)}, np.full(rows, step)


def _map_dataset():
    # No more epochs than are read: Grain prepares 500 items ahead.
    return grain.MapDataset.range(30).shuffle(seed=3).repeat(2).batch(2)


def _iter_dataset():
    return _map_dataset().to_iter_dataset()


def _data_loader():
    return grain.DataLoader(
        data_source=range(30),
        sampler=grain.samplers.IndexSampler(30, shuffle=True, seed=3, num_epochs=3),
        operations=[grain.transforms.Batch(2)],
    )


def _values(chunks):
    return {
        chunk.first_step + offset: batch.tolist()
        for chunk in chunks
        for offset, batch in enumerate(chunk.features)
    }


@given(st.integers(0, 20), st.integers(1, 6), st.integers(0, 20))
def test_every_batch_comes_once_in_chunks_that_end_at_multiples(count, steps, start):
    start = min(start, count)
    chunks = list(
        StreamBatches(_batches(count), steps_per_chunk=steps, start_step=start)
    )
    drawn = [chunk.labels[i, 0] for chunk in chunks for i in range(chunk.steps)]
    assert drawn == list(range(start, count))
    for chunk in chunks:
        assert chunk.features["x"].shape == (chunk.steps, 2, 3)
        assert chunk.first_step == chunk.labels[0, 0]
        end = chunk.first_step + chunk.steps
        assert end % steps == 0 or end == count


def test_a_plain_iterator_is_placed_by_its_step_alone():
    batches = StreamBatches(_batches(9), steps_per_chunk=2)
    next(batches)
    assert batches.state(1) == {"next_step": 1, "batches": 1, "rows": 2}


@pytest.mark.parametrize("make", [_map_dataset, _iter_dataset, _data_loader])
@pytest.mark.parametrize("step", [0, 3, 4, 5, 8])
def test_a_grain_iterator_goes_on_from_any_step_of_the_last_chunks(make, step):
    whole = StreamBatches(make(), steps_per_chunk=4)
    chunks = [next(whole), next(whole)]
    place = json.loads(json.dumps(whole.state(step)))
    expected = _values([*chunks, next(whole), next(whole)])
    resumed = StreamBatches(make(), steps_per_chunk=4, start_step=step, place=place)
    found = _values(next(resumed) for _ in range(2))
    whole.close()
    resumed.close()
    assert "iterator" in place
    assert min(found) == step
    assert found == {at: expected[at] for at in found}


def test_a_place_may_be_asked_for_after_the_end_and_after_close():
    batches = StreamBatches(grain.MapDataset.range(6).batch(2), steps_per_chunk=2)
    assert [chunk.steps for chunk in batches] == [2, 1]
    at_end = batches.state(3)
    batches.close()
    assert batches.state(3) == at_end
    assert at_end == {
        "next_step": 3,
        "batches": 3,
        "rows": 6,
        "iterator": {"next_index": 3},
        "ended": True,
    }
    open_ended = StreamBatches(_map_dataset(), steps_per_chunk=2)
    next(open_ended)
    open_ended.close()
    assert open_ended.state(2)["iterator"] == {"next_index": 2}
    assert list(open_ended) == []


def test_a_place_of_another_step_is_refused():
    with pytest.raises(DataError) as caught:
        StreamBatches(
            _batches(9),
            steps_per_chunk=2,
            start_step=4,
            place={"next_step": 3},
        )
    assert str(caught.value) == "place: is that of step 3. Expected step 4."


def test_an_iterator_that_cannot_be_placed_is_refused():
    with pytest.raises(DataError) as caught:
        StreamBatches(
            _batches(9),
            steps_per_chunk=2,
            start_step=4,
            place={"next_step": 4, "iterator": {"next_index": 4}},
        )
    assert str(caught.value) == (
        "the input: is a generator, which has no set_state. "
        "Expected the kind of iterator that the checkpoint was of."
    )


def test_a_place_that_json_cannot_hold_is_refused():
    class Odd:
        def __iter__(self):
            return self

        def __next__(self):
            return np.zeros(2)

        def get_state(self):
            return {1, 2}

    with pytest.raises(DataError) as caught:
        next(StreamBatches(Odd(), steps_per_chunk=1))
    assert str(caught.value) == (
        "the input: get_state() gave something that JSON cannot hold: "
        "Object of type set is not JSON serializable. "
        "Expected bytes, or numbers, texts, lists and dicts."
    )


def _message(*batches, rows=None) -> str:
    with pytest.raises(DataError) as caught:
        list(StreamBatches(list(batches), rows=rows, steps_per_chunk=2))
    return str(caught.value)


@given(st.lists(st.integers(1, 3), max_size=12), st.integers(1, 5))
def test_batches_of_one_shape_are_stacked_and_no_other(rows, steps):
    batches = [np.full(count, step) for step, count in enumerate(rows)]
    chunks = list(StreamBatches(batches, steps_per_chunk=steps))
    drawn = [batch for chunk in chunks for batch in chunk.features]
    assert [batch.tolist() for batch in drawn] == [batch.tolist() for batch in batches]
    for chunk in chunks:
        assert chunk.features.shape == (chunk.steps, rows[chunk.first_step])


@pytest.mark.parametrize("step", [0, 2, 3])
def test_a_short_last_batch_has_its_place_too(step):
    def make():
        return grain.MapDataset.range(7).batch(2).to_iter_dataset()

    whole = StreamBatches(make(), steps_per_chunk=10)
    assert [chunk.features.shape for chunk in (next(whole), next(whole))] == [
        (3, 2),
        (1, 1),
    ]
    place = whole.state(step)
    resumed = StreamBatches(make(), steps_per_chunk=10, start_step=step, place=place)
    drawn = [batch.tolist() for chunk in resumed for batch in chunk.features]
    assert drawn == [[0, 1], [2, 3], [4, 5], [6]][step:]


def test_closing_keeps_the_place_before_a_batch_that_was_held_back():
    iterator = grain.MapDataset.range(5).batch(2).to_iter_dataset()
    batches = StreamBatches(iterator, steps_per_chunk=10)
    next(batches)
    batches.close()
    assert batches.state(2)["iterator"]["next_index"] == 2


def test_processes_that_share_batches_name_a_short_one_by_its_step():
    assert _message(np.zeros(2), np.zeros(2), np.zeros(1), rows=2) == (
        "batch of step 2: has 1 rows. Expected 2 rows: processes share each batch "
        "evenly. Drop a short last batch, or repeat the data before batching."
    )


def test_a_batch_unlike_the_first_is_named_with_both_forms():
    first = {"x": np.zeros((2, 3), np.float32), "y": np.zeros(2), "v": np.zeros(2)}
    other = {"x": np.zeros((2, 3), np.float16), "z": np.zeros(2), "v": np.zeros((2, 1))}
    assert _message(first, other) == (
        "batch of step 1, features.v: is float32[2,1]. "
        "Expected float32[2], but for its sizes, as in the first batch.\n"
        "batch of step 1, features.x: is float16[2,3]. "
        "Expected float32[2,3], but for its sizes, as in the first batch.\n"
        "batch of step 1, features.y: is missing. "
        "Expected float32[2], but for its sizes, as in the first batch.\n"
        "batch of step 1, features.z: is float32[2]. "
        "Expected no such array, as in the first batch."
    )


def test_arrays_of_different_rows_are_named():
    assert _message(({"x": np.zeros((2, 3))}, np.zeros(3))) == (
        "batch of step 0: arrays differ in rows: features.x has 2, labels has 3. "
        "Expected the same number of rows in each array."
    )
    assert _message(({"x": 1.0}, np.zeros(2))) == (
        "batch of step 0: arrays differ in rows: features.x is a scalar, labels has 2. "
        "Expected the same number of rows in each array."
    )


def test_what_is_no_batch_is_named():
    assert _message("text") == "batch of step 0: is str. Expected (features, labels)."
    assert _message((1, 2, 3)) == (
        "batch of step 0: is a tuple of 3. Expected (features, labels)."
    )
    assert _message({}) == (
        "batch of step 0: holds no array. "
        "Expected the same number of rows in each array."
    )


def test_an_error_of_the_iterator_is_passed_on():
    def failing():
        yield np.zeros(2)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(StreamBatches(failing(), steps_per_chunk=4))


# -- resuming


def _rows_in(batches):
    """Rows of an endless input of 0, 1, 2, ... in batches of some size."""
    return (np.arange(i * batches, (i + 1) * batches) for i in range(1000))


def _seen(stream, chunks):
    return np.concatenate([row for _ in range(chunks) for row in next(stream).features])


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 6), st.integers(1, 4))
def test_with_another_batch_size_rows_continue_behind_those_that_were_seen(
    former, batch, steps, steps_per_chunk
):
    """The rows are 0, 1, 2, ...: NumPy's arange is the ground truth."""
    first = StreamBatches(_rows_in(former), steps_per_chunk=max(1, steps))
    seen = [_seen(first, 1)] if steps else []
    place = json.loads(json.dumps(first.state(steps)))
    assert place["rows"] == former * steps
    resumed = StreamBatches(
        _rows_in(batch),
        steps_per_chunk=steps_per_chunk,
        start_step=steps,
        place=place,
    )
    rows = np.concatenate([*seen, _seen(resumed, 4)])
    np.testing.assert_array_equal(rows, np.arange(len(rows)))


def _numbers(batch):
    return iter(grain.MapDataset.range(96).batch(batch).to_iter_dataset())


@pytest.mark.parametrize("batch", [2, 3, 8])
def test_an_iterator_with_a_place_is_wound_where_its_batches_are_others(batch):
    first = StreamBatches(_numbers(4), steps_per_chunk=3, batch_rows=4)
    seen = _seen(first, 1)
    place = first.state(3)
    assert place["iterator"] == {"next_index": 3}
    resumed = StreamBatches(
        _numbers(batch),
        steps_per_chunk=1,
        start_step=3,
        place=place,
        batch_rows=batch,
    )
    begun = resumed.state(3)
    rows = np.concatenate([seen, _seen(resumed, 3)])
    np.testing.assert_array_equal(rows, np.arange(len(rows)))
    # Stopped again at once, inside of a batch or not, no row is lost either.
    again = StreamBatches(
        _numbers(batch), steps_per_chunk=1, start_step=3, place=begun, batch_rows=batch
    )
    np.testing.assert_array_equal(_seen(again, 1)[0], 12)


def test_processes_cannot_share_a_batch_that_was_seen_in_part():
    with pytest.raises(DataError) as caught:
        StreamBatches(
            _rows_in(8),
            rows=8,
            steps_per_chunk=1,
            start_step=3,
            place={"next_step": 3, "batches": 3, "rows": 24},
            share=Share((0,), 2),
        )
    assert str(caught.value) == (
        "the input: 8 of the 16 rows of its next batch were seen. Expected a place "
        "between batches, which several processes share. Train with a batch size that "
        "divides the rows that were seen, or RunConfig(resume_input='restart')."
    )


def test_the_rows_of_a_place_are_those_of_all_processes():
    """Two processes saw 3 batches of 8 rows, 4 each; one goes on with all 8."""
    half = StreamBatches(_rows_in(4), rows=4, steps_per_chunk=3, share=Share((1,), 2))
    next(half)
    place = half.state(3)
    assert (place["batches"], place["rows"]) == (3, 24)
    whole = StreamBatches(_rows_in(8), steps_per_chunk=1, start_step=3, place=place)
    assert _seen(whole, 1)[0] == 24


@pytest.mark.parametrize("place", [{"next_step": 3}, {"next_step": 3, "seed": 0}])
def test_a_place_without_rows_is_that_of_an_old_version_and_counts_batches(place):
    resumed = StreamBatches(_rows_in(2), steps_per_chunk=1, start_step=3, place=place)
    assert _seen(resumed, 1).tolist() == [6, 7]


@pytest.mark.parametrize("make", [list, iter, _map_dataset, _data_loader])
def test_an_input_that_was_seen_to_its_end_begins_anew(make):
    """Whether its end was met, or training stopped at it without looking."""

    def batches():
        return make(list(_batches(3))) if make in (list, iter) else make()

    whole = StreamBatches(batches(), steps_per_chunk=100)
    first = next(whole)
    at_end = whole.state(first.steps)
    assert next(whole, None) is None
    met = whole.state(first.steps)
    assert met == at_end | {"ended": True}
    for place in (at_end, met):
        resumed = StreamBatches(
            batches(),
            steps_per_chunk=100,
            start_step=first.steps,
            place=place,
            again=batches,
        )
        chunks = list(resumed)
        assert chunks[0].first_step == first.steps
        assert sum(chunk.steps for chunk in chunks) == first.steps
        assert resumed.state(2 * first.steps)["batches"] == first.steps


def test_an_input_that_is_shorter_than_its_place_begins_anew_and_warns():
    with pytest.warns(SpecflowWarning, match="the input") as reported:
        resumed = StreamBatches(
            list(_batches(2)),
            steps_per_chunk=9,
            start_step=4,
            place={"next_step": 4, "batches": 4, "rows": 8},
        )
    assert str(reported[0].message) == (
        "the input: ended after 2 batches (4 rows), and 4 batches were seen of "
        "it. It begins anew; RunConfig(resume_input='restart') begins it anew in every "
        "call."
    )
    assert [chunk.labels[:, 0].tolist() for chunk in resumed] == [[0, 1]]


@given(st.lists(st.integers(0, 3), max_size=6), st.integers(1, 5), st.integers(1, 3))
def test_an_iterator_that_comes_back_loses_no_batch(calls, steps_per_chunk, repeats):
    """Each call takes some batches, of two shapes in turn; more are drawn ahead."""
    rows = [2 if (i // repeats) % 2 else 1 for i in range(40)]
    iterator = iter([np.full(n, i) for i, n in enumerate(rows)])
    step, seen = 0, []
    for steps in calls:
        stream = StreamBatches(
            track_iterator(iterator),
            steps_per_chunk=steps_per_chunk,
            start_step=step,
            place={"next_step": step, "batches": step, "rows": sum(rows[:step])},
        )
        stop = step + steps
        while step < stop:
            chunk = next(stream)
            taken = chunk.features[: stop - step]
            seen += taken[:, 0].tolist()
            step += len(taken)
        assert stream.state(step)["rows"] == sum(rows[:step])
        stream.give_back(step)
        stream.close()
    assert seen == list(range(sum(calls)))


def test_an_iterator_with_a_place_is_put_back_to_the_step_that_was_taken():
    iterator = _numbers(2)
    for step in (0, 3):
        place = {"batches": 0, "rows": 0}  # As resume_input="restart" has it.
        stream = StreamBatches(
            iterator, steps_per_chunk=10, start_step=step, place=place
        )
        assert next(stream).features[0].tolist() == [2 * step, 2 * step + 1]
        stream.give_back(step + 3)
        stream.close()
