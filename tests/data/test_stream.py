"""Batches from a user's iterable: chunks, places, and what odd batches are told."""

import json

import grain
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.data.stream import StreamBatches
from specflow.errors import DataError


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


@given(st.integers(0, 20), st.integers(1, 6), st.integers(0, 25))
def test_every_batch_comes_once_in_chunks_that_end_at_multiples(count, steps, start):
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
    assert batches.state(1) == {"next_step": 1}


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
    assert batches.state(3) == at_end == {"next_step": 3, "iterator": {"next_index": 3}}
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
