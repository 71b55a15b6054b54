"""Epochs in the Python API: `train`, `TrainSpec`, `EvalSpec` and `RunConfig`."""

import logging

import numpy as np
import pytest

import specflow as sf
from specflow.diagnostics.errors import ConfigError, DataError
from tests.estimator.conftest import X, Y, arrays

ROWS, BATCH = len(X), 7  # 24 rows: 3.43 batches.


def batches():
    for start in range(0, ROWS, BATCH):
        yield {"x": X[start : start + BATCH]}, Y[start : start + BATCH]


def test_a_call_takes_the_steps_that_complete_its_epochs(line):
    estimator = line(train_batch_size=BATCH)
    estimator.train(arrays, epochs=1)
    assert estimator.latest_step() == 4  # 28 rows
    # 28 + 12 rows: two steps more are 42.
    estimator.train(arrays, epochs=0.5)
    assert estimator.latest_step() == 6


def test_epochs_of_all_calls_are_counted_from_the_first(line):
    estimator = line(train_batch_size=BATCH)
    for epochs, step in ((1, 4), (2, 7), (2, 7), (3, 11)):
        estimator.train(arrays, max_epochs=epochs)
        assert estimator.latest_step() == step


def test_another_batch_size_sees_the_rows_that_are_left(line):
    line(train_batch_size=8).train(arrays, max_epochs=1)
    resumed = line(train_batch_size=5)
    assert resumed.latest_step() == 3
    resumed.train(arrays, max_epochs=2)  # 24 rows in steps of 5.
    assert resumed.latest_step() == 3 + 5
    place = resumed.checkpoints.data_position(8)["input"]
    assert place["rows"] == 24 + 25


@pytest.mark.parametrize("name", ["epochs", "max_epochs"])
def test_an_iterable_has_no_epochs(line, name):
    with pytest.raises(DataError) as error:
        line().train(batches, **{name: 2})
    assert str(error.value) == (
        f"{name}: got 2, and the training input is an iterable of batches: how many it "
        "has is not known before its end. Expected a number of steps, or arrays, a "
        "Source, or an iterable with a length (len()) as the input. A call to train "
        "without steps ends with the input: call it once for each epoch."
    )


def test_a_list_of_batches_is_repeated_by_epochs(line, tmp_path):
    whole, parts = line(), line(model_dir=tmp_path / "parts")
    whole.train(lambda: list(batches()) * 3, max_steps=10)  # 4 batches a pass.
    for epochs, step in ((1, 4), (1.5, 6), (2.5, 10)):
        parts.train(lambda: list(batches()), max_epochs=epochs)
        assert parts.latest_step() == step
    weights = [each.checkpoints.arrays()["params/w"] for each in (whole, parts)]
    np.testing.assert_array_equal(*weights)
    parts.train(lambda: list(batches()), epochs=0.5)
    assert parts.latest_step() == 12


def test_evaluations_by_epochs_of_a_list_of_batches(line):
    steps = []
    line().train_and_evaluate(
        sf.TrainSpec(lambda: list(batches()), max_epochs=2),
        sf.EvalSpec(arrays, every_steps="1 epoch"),
        report=lambda step, split, _: steps.append(step) if split == "eval" else None,
    )
    assert steps == [4, 8]


def test_triggers_by_epochs_of_an_iterable_are_refused(line):
    config = sf.RunConfig(log_step_count_steps="1 epoch")
    with pytest.raises(DataError, match="log_step_count_steps: got 1 epoch"):
        line(config=config).train(batches, steps=2)
    spec = sf.EvalSpec(arrays, every_steps="1 epoch")
    with pytest.raises(DataError, match="every_steps: got 1 epoch"):
        line().train_and_evaluate(sf.TrainSpec(batches, 2), spec)


@pytest.mark.parametrize("epochs", [0, -1.0, True, "1", float("nan"), float("inf")])
def test_other_values_are_no_epochs(line, epochs):
    with pytest.raises((ConfigError, TypeError), match="epochs"):
        line().train(arrays, epochs=epochs)
    with pytest.raises((ValueError, TypeError), match="max_epochs"):
        sf.TrainSpec(arrays, max_epochs=epochs)


def test_one_end_of_training_is_given(line):
    with pytest.raises(ConfigError, match="got steps and max_epochs"):
        line().train(arrays, steps=1, max_epochs=1)
    with pytest.raises(ValueError, match="no max_steps too"):
        sf.TrainSpec(arrays, max_steps=1, max_epochs=1)
    with pytest.raises(ValueError, match="steps, or epochs such as '1 epoch'"):
        sf.EvalSpec(arrays, every_steps="often")


def test_evaluations_checkpoints_and_reports_by_epochs(line):
    """Each is at the step that completes its epochs, also over a restart."""
    rows = []
    spec = sf.EvalSpec(arrays, steps=None, every_steps="1 epoch")
    for epochs in (2, 4):
        estimator = line(
            train_batch_size=BATCH,
            config=sf.RunConfig(
                save_checkpoints_steps="2 epochs",
                save_at_start=False,
                log_step_count_steps="0.5 epochs",
                keep_checkpoint_max=0,
                progress=False,
            ),
        )
        estimator.train_and_evaluate(
            sf.TrainSpec(arrays, max_epochs=epochs),
            spec,
            report=lambda step, split, metrics: rows.append((split, step, metrics)),
        )
    assert [step for split, step, _ in rows if split == "eval"] == [4, 7, 11, 14]
    trained = [(step, row["epoch"]) for split, step, row in rows if split == "train"]
    assert [step for step, _ in trained] == [2, 4, 6, 7, 9, 11, 12, 14]
    assert trained == [(step, step * BATCH / ROWS) for step, _ in trained]
    assert estimator.checkpoints.steps() == [7, 14]


def test_steps_in_reports_have_the_epoch_where_it_is_known(line, caplog):
    rows = []

    def train(input_fn):
        config = sf.RunConfig(log_step_count_steps=2, progress=False)
        line(config=config).train_and_evaluate(
            sf.TrainSpec(input_fn, 2),
            sf.EvalSpec(arrays, every_steps=0),
            report=lambda step, split, metrics: rows.append((split, metrics)),
        )

    with caplog.at_level(logging.INFO):
        train(arrays)
    assert [row["epoch"] for split, row in rows if split == "train"] == [16 / 24]
    rows.clear()


def test_reports_of_an_iterable_have_no_epoch(line):
    rows = []
    config = sf.RunConfig(log_step_count_steps=1, progress=False)
    line(config=config, train_batch_size=BATCH).train_and_evaluate(
        sf.TrainSpec(batches, 2),
        sf.EvalSpec(arrays, every_steps=0),
        report=lambda step, split, metrics: rows.append((split, metrics)),
    )
    assert all("epoch" not in row for _, row in rows)
    assert np.isfinite([row["loss"] for _, row in rows]).all()
