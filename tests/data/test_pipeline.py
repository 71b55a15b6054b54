"""Chunks of training steps: the plan's stream, however it is cut and wherever begun."""

import contextlib
import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import specflow
from specflow.data import pipeline
from specflow.data.pipeline import TrainBatches, as_train_batches
from specflow.data.plan import BatchPlan, Share
from specflow.data.source import ArraySource
from specflow.data.stream import StreamBatches
from specflow.diagnostics.errors import DataError


def _plan(rows=13, batch_size=4, **options):
    source = ArraySource({"x": np.arange(rows) * 10}, np.arange(rows))
    return BatchPlan(source, batch_size, **options)


def _labels_by_step(chunks, count):
    found = {}
    for chunk in itertools.islice(chunks, count):
        np.testing.assert_array_equal(chunk.features["x"], chunk.labels * 10)
        assert len(chunk.labels) == chunk.steps
        for offset, labels in enumerate(chunk.labels):
            found[chunk.first_step + offset] = labels
    return found


@settings(max_examples=25)
@given(
    steps=st.integers(1, 7), start=st.integers(0, 40), block_bytes=st.integers(1, 900)
)
def test_chunks_are_the_plan_for_any_size_and_start(steps, start, block_bytes):
    """The first chunk is made directly, the others by Grain from blocks of chunks."""
    plan = _plan()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pipeline, "_BLOCK_BYTES", block_bytes)
        batches = TrainBatches(plan, steps_per_chunk=steps, start_step=start)
    with contextlib.closing(batches):
        found = _labels_by_step(batches, 5)
    aligned = start // steps * steps
    assert list(found) == list(range(aligned, aligned + 5 * steps))
    for step, labels in found.items():
        np.testing.assert_array_equal(labels, plan.row_ids(step, 1)[0])


def test_the_place_is_json_that_names_step_epoch_and_seed():
    batches = TrainBatches(_plan(seed=5), steps_per_chunk=3)
    # By hand: step 7 begins at row 28 of the stream, in the third epoch of 13 rows.
    assert batches.state(7) == {"next_step": 7, "rows": 28, "epoch": 2, "seed": 5}


def test_a_thread_makes_later_chunks():
    makers = []

    class Watched(ArraySource):
        def take(self, rows):
            makers.append(threading.current_thread().name)
            return super().take(rows)

    plan = BatchPlan(Watched(np.arange(9)), 2)
    with contextlib.closing(TrainBatches(plan, steps_per_chunk=2)) as batches:
        next(batches)
        assert makers == ["MainThread"]
        next(batches)
        next(batches)
    assert all(name.startswith("specflow-batches") for name in makers[1:])


def test_an_error_while_a_later_chunk_is_made_reaches_the_consumer():
    class Failing(ArraySource):
        calls = 0

        def take(self, rows):
            self.calls += 1
            if self.calls > 1:
                raise OSError("the disk is gone")
            return super().take(rows)

    plan = BatchPlan(Failing(np.arange(9)), 2)
    with contextlib.closing(TrainBatches(plan, steps_per_chunk=2)) as batches:
        next(batches)
        with pytest.raises(OSError, match="the disk is gone"):
            next(batches)


def test_after_close_no_chunk_follows_and_no_thread_is_left():
    before = set(threading.enumerate())
    batches = TrainBatches(_plan(), steps_per_chunk=2)
    for _ in range(3):
        next(batches)
    started = set(threading.enumerate()) - before
    batches.close()
    batches.close()
    for thread in started:
        thread.join(timeout=30)
    assert started
    assert not any(thread.is_alive() for thread in started)
    assert list(batches) == []


def test_the_interpreter_exits_although_nobody_closed_the_batches():
    code = (
        "import numpy as np\n"
        "from specflow.data import as_train_batches\n"
        "batches = as_train_batches(np.arange(99), batch_size=4, steps_per_chunk=3)\n"
        "print([next(batches).first_step for _ in range(4)])\n"
    )
    path = str(Path(specflow.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("[0, 3, 6, 9]\n", "")


@pytest.mark.parametrize(
    "form",
    [
        lambda x, y: ({"x": x}, y),
        lambda x, y: ArraySource({"x": x}, y),
    ],
)
def test_arrays_and_sources_become_chunks_of_a_plan(form):
    x, y = np.arange(13) * 10, np.arange(13)
    batches = as_train_batches(
        form(x, y), batch_size=4, steps_per_chunk=2, seed=3, start_step=5
    )
    with contextlib.closing(batches):
        chunk = next(batches)
    assert isinstance(batches, TrainBatches)
    assert chunk.first_step == 4
    np.testing.assert_array_equal(chunk.labels, _plan(seed=3).row_ids(4, 2))
    np.testing.assert_array_equal(chunk.features["x"], chunk.labels * 10)


def test_features_alone_have_no_labels():
    for value in ({"x": np.arange(5)}, np.arange(5)):
        chunk = next(as_train_batches(value, batch_size=2, steps_per_chunk=2))
        assert chunk.labels is None


def test_two_processes_read_the_two_halves_of_each_batch():
    def chunk(index, count):
        x = np.arange(13)
        batches = as_train_batches(
            x,
            batch_size=6,
            steps_per_chunk=4,
            share=Share((index,), count),
        )
        return next(batches).features

    halves = [chunk(0, 2), chunk(1, 2)]
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), chunk(0, 1))


def test_an_iterable_gives_this_process_its_own_share():
    batches = as_train_batches(
        [np.arange(3)], batch_size=6, steps_per_chunk=4, share=Share((0,), 2)
    )
    assert isinstance(batches, StreamBatches)
    assert next(batches).features.shape == (1, 3)


def test_an_input_of_no_known_form_is_named():
    with pytest.raises(DataError) as caught:
        as_train_batches(7, batch_size=2, steps_per_chunk=1)
    assert str(caught.value) == (
        "the input: is int. "
        "Expected arrays as (features, labels), or an iterable of such batches."
    )


def test_a_tuple_of_three_is_named():
    with pytest.raises(DataError) as caught:
        as_train_batches((1, 2, 3), batch_size=2, steps_per_chunk=1)
    assert str(caught.value) == (
        "the input: is a tuple of 3. Expected (features, labels)."
    )
