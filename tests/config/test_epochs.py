"""Epochs in place of steps: their number, and what a config says about them."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.compose import compose
from specflow.config.epochs import EpochLength, Epochs, exact_epochs
from specflow.config.resolved_epochs import check_resolved, with_steps
from specflow.config.sections.loop import LoopConfig
from specflow.data import ArraySource, BatchPlan
from specflow.diagnostics.errors import ConfigError
from specflow.loop import EveryEpochs, every_steps

DIGITS = "experiment=digits"
rows, sizes = st.integers(1, 60), st.integers(1, 40)
decimals = st.integers(1, 400).map(lambda hundredths: Fraction(hundredths, 100))


def rows_seen(plan, first, last):
    """The rows of steps `first` to `last`, as the stream itself gives them."""
    return plan.row_ids(first, last - first).reshape(-1)


@given(rows, sizes, decimals)
def test_the_steps_of_epochs_are_the_fewest_that_see_their_rows(n, b, epochs):
    steps = EpochLength(n, b).step_at(epochs)
    assert (steps - 1) * b < epochs * n <= steps * b
    assert steps == -(-epochs * n // b)
    # No row is seen less often than the whole epochs say, and none is dropped.
    plan = BatchPlan(ArraySource({"x": np.zeros(n)}), b)
    counts = np.bincount(rows_seen(plan, 0, steps), minlength=n)
    assert counts.min() >= int(epochs)


@given(rows, sizes, sizes, decimals, st.integers(1, 30))
def test_a_run_resumed_with_another_batch_size_sees_the_rows_of_its_epochs(
    n, b, other, epochs, step
):
    """The stream continues behind the rows that were seen: rows decide, not steps."""
    source = ArraySource({"x": np.zeros(n)})
    before = BatchPlan(source, b)
    length = EpochLength.at(n, batch_size=other, step=step, row=before.position(step))
    stop = max(step, length.step_at(epochs))
    after = BatchPlan(source, other, start_step=step, start_row=before.position(step))
    seen = [*rows_seen(before, 0, step), *rows_seen(after, step, stop)]
    assert len(seen) == length.row_after(stop) >= epochs * n or stop == step
    if stop > step:
        assert len(seen) - other < epochs * n
    assert np.bincount(seen, minlength=n).min() >= min(int(epochs), len(seen) // n)


@given(rows, sizes, decimals, st.integers(0, 30), st.integers(-50, 50))
def test_a_trigger_by_epochs_is_due_where_a_multiple_is_completed(n, b, every, at, row):
    length = EpochLength(n, b, max(row, -at * b))
    trigger = EveryEpochs(every, length)

    def completed(step):
        return length.row_after(step) // (every * n)

    for step in range(at + 1, at + 20):
        assert trigger.is_due(step) == (completed(step) > completed(step - 1))
    due = [step for step in range(at + 1, at + 20) if trigger.is_due(step)]
    assert trigger.next_after(at) == due[0] if due else trigger.next_after(at) >= at


def test_evaluations_every_epoch_end_with_the_training():
    length = EpochLength(rows=1437, batch_size=128)
    trigger, step, steps = EveryEpochs(Fraction(1), length), 0, []
    while step < length.step_at(Fraction(100)):
        step = trigger.next_after(step)
        steps.append(step)
    assert len(steps) == 100
    assert steps[-1] == length.step_at(Fraction(100)) == 1123


@pytest.mark.parametrize("number", [0.07, 0.29, 1.1, 1e-3, 3, 1.0, np.float64(0.7)])
def test_epochs_are_what_is_written_in_decimals(number):
    exact = exact_epochs(number)
    assert exact.denominator <= 1000
    assert float(exact) == number
    assert EpochLength(1000, 1).step_at(exact) == round(number * 1000)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1 epoch", 1),
        ("2 epochs", 2),
        ("0.5 epochs", Fraction(1, 2)),
        ("1.50epochs", Fraction(3, 2)),
        (".1 epoch", Fraction(1, 10)),
    ],
)
def test_texts_that_are_epochs(text, number):
    epochs = LoopConfig(eval_every=text).eval_every
    assert isinstance(epochs, Epochs)
    assert epochs.number == number
    assert LoopConfig(eval_every=text).model_dump()["eval_every"] == text
    assert type(LoopConfig(eval_every=text).model_dump()["eval_every"]) is str


@pytest.mark.parametrize("text", ["0 epochs", "-1 epoch", "epoch", "1e3 epochs", "1 e"])
def test_texts_that_are_no_epochs(text):
    with pytest.raises(ValueError, match=r"epochs such as 0\.5 epochs"):
        LoopConfig(eval_every=text)


def ends(*lines, **options):
    loop = compose(lines, **options).config.loop
    return loop.train_steps, loop.epochs


def test_the_layer_that_is_merged_last_decides_how_training_ends(tmp_path):
    """Whichever of the two a layer sets takes the place of the other one below it."""
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "passes.yaml").write_text(
        "# @package _global_\ndefaults: [digits, _self_]\nloop: {epochs: 2}\n"
    )
    mine = {"config_dirs": [tmp_path]}
    assert ends(DIGITS) == (1200, None)
    assert ends(DIGITS, "loop.epochs=3") == (None, 3)
    assert ends("experiment=passes", **mine) == (None, 2)
    assert ends("experiment=passes", "loop.epochs=0.5", **mine) == (None, 0.5)
    assert ends("experiment=passes", "loop.train_steps=7", **mine) == (7, None)
    composed = compose([DIGITS, "loop.epochs=3"])
    (dropped,) = composed.dropped
    assert (dropped.key, dropped.value) == ("loop.train_steps", 1200)


def test_steps_and_epochs_in_one_layer_are_one_error_with_both_origins(tmp_path):
    with pytest.raises(ConfigError) as error:
        compose([DIGITS, "loop.epochs=3", "loop.train_steps=5"])
    assert str(error.value) == (
        "loop.epochs: got 3.0 (override loop.epochs=3). Expected null beside "
        "train_steps=5 (override loop.train_steps=5). Remove one of them: "
        "~loop.train_steps or ~loop.epochs."
    )
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "both.yaml").write_text(
        "# @package _global_\n"
        "defaults: [digits, _self_]\n"
        "loop:\n"
        "  epochs: 2\n"
        "  train_steps: 9\n"
    )
    with pytest.raises(ConfigError) as error:
        compose(["experiment=both"], config_dirs=[tmp_path])
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.origin.endswith("both.yaml:4:3")
    assert "both.yaml:5:3" in str(error.value)
    with pytest.raises(ValueError, match="null beside train_steps=5"):
        LoopConfig(epochs=1, train_steps=5)


def test_neither_steps_nor_epochs_are_1000_steps():
    assert LoopConfig().steps == LoopConfig(train_steps=None).steps == 1_000
    with pytest.raises(ConfigError, match="got '3 epochs' where the training data"):
        _ = LoopConfig(epochs=3).steps


def test_every_number_of_steps_is_resolved_by_the_rows():
    lines = [
        DIGITS,
        "loop.epochs=10",
        "loop.eval_every=1 epoch",
        "loop.log_every=0.25 epochs",
        "loop.iterations_per_loop=0.5 epochs",
        "loop.early_stopping={name: no_decrease, patience_steps: 3 epochs, "
        "min_steps: 1 epoch}",
        "output.checkpoint={every: [1 epoch, 10m], keep_every_steps: 2 epochs}",
        "optimizer.schedule={name: linear, warmup_steps: 0.5 epochs, "
        "decay_steps: 9 epochs}",
    ]
    config = with_steps(compose(lines).config, EpochLength(1000, 64))
    schedule: Any = config.optimizer.schedule
    stopping: Any = config.loop.early_stopping
    loop, checkpoint = config.loop, config.output.checkpoint
    assert (loop.train_steps, loop.epochs) == (157, 10)  # 156.25 batches.
    assert loop.iterations_per_loop == 7  # 7.8
    assert stopping.patience_steps == 46  # 46.9
    assert stopping.min_steps == 16  # 15.6
    assert checkpoint.keep_every_steps == 31  # 31.3
    assert (schedule.warmup_steps, schedule.decay_steps) == (8, 141)  # 7.8, 140.6
    # Triggers stay exact: each is due where its own multiple is completed.
    assert (loop.eval_every, loop.log_every) == ("1 epoch", "0.25 epochs")
    assert checkpoint.every == ["1 epoch", "10m"]


def test_the_points_of_a_schedule_may_be_epochs(tmp_path):
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "steps.yaml").write_text(
        "# @package _global_\n"
        "defaults: [digits, _self_]\n"
        "optimizer:\n"
        "  schedule: {name: piecewise, factors: {2 epochs: 0.1, 3.5 epochs: 0.01}}\n"
    )
    config = compose(["experiment=steps"], config_dirs=[tmp_path]).config
    schedule = with_steps(config, EpochLength(100, 8)).optimizer.schedule
    assert schedule.factors == {"25": 0.1, "44": 0.01}
    decay = compose(
        [DIGITS, "optimizer.schedule={name: exponential, every: 1 epoch}"]
    ).config
    assert with_steps(decay, EpochLength(100, 8)).optimizer.schedule.every == 12


def test_rules_about_steps_are_checked_once_the_rows_are_known():
    lines = [DIGITS, "loop.epochs=1", "optimizer.schedule.warmup_steps=20"]
    lines += ["loop.profile.start=12"]
    config = compose(lines).config
    check_resolved(with_steps(config, EpochLength(10_000, 10)))
    with pytest.raises(ConfigError) as error:
        check_resolved(with_steps(config, EpochLength(100, 10)))
    assert str(error.value) == (
        "optimizer.schedule.warmup_steps: got 20. Expected fewer warmup steps than "
        "loop.epochs (1, 10 steps).\n"
        "loop.profile.start: got 12. Expected less than loop.epochs (1, 10 steps), "
        "the last step."
    )


def test_epochs_that_devices_cannot_count_are_refused():
    config = compose([DIGITS, "loop.epochs=1e9"]).config
    with pytest.raises(ConfigError, match="which are 10,000,000,000 steps"):
        with_steps(config, EpochLength(100, 10))


def test_a_trigger_by_steps_is_as_before():
    trigger = every_steps(7, where="", length=None, start=3)
    assert [step for step in range(20) if trigger.is_due(step)] == [3, 10, 17]
