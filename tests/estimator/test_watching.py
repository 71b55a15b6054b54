"""Reports, log lines and summaries of the losses, and the steps they are at."""

import json
import logging

import numpy as np
import pytest

from specflow import EvalSpec, RunConfig, TPUConfig, TrainSpec
from specflow.estimator.loss_reports import Watcher


def message(config, *, size=3, steps=25, **arguments):
    watch = Watcher(config, rows=8, **arguments)
    for first in range(0, steps, size):
        numbers = np.arange(first, min(first + size, steps)) + 1
        watch(numbers, numbers.astype(np.float32) / 2)


@pytest.mark.parametrize("size", [1, 3, 10, 100])
@pytest.mark.parametrize("every", [1, 4, 10])
def test_losses_are_reported_at_multiples_for_any_device_loop(size, every):
    rows = []
    config = RunConfig(log_step_count_steps=every)
    message(config, size=size, report=lambda *row: rows.append(row))
    assert rows == [
        (step, "train", {"loss": np.arange(step - every + 1, step + 1).mean() / 2})
        for step in range(every, 26, every)
    ]


def test_no_loss_is_reported_without_intervals():
    rows = []
    config = RunConfig(log_step_count_steps=None)
    message(config, report=lambda *row: rows.append(row))
    assert rows == []


@pytest.mark.parametrize("size", [1, 4, 25])
def test_summaries_come_at_the_first_step_and_every_n_after_it(size):
    """As TensorFlow's SummarySaverHook: loss at steps 1, 1 + n, 1 + 2n, ..."""
    rows = []
    config = RunConfig(save_summary_steps=10)
    message(config, size=size, summarize=lambda *row: rows.append(row))
    assert [(step, row["loss"]) for step, _, row in rows] == [
        (1, 0.5),
        (11, np.arange(2, 12).mean() / 2),
        (21, np.arange(12, 22).mean() / 2),
    ]


@pytest.mark.parametrize("nothing", [0, None])
def test_0_and_none_switch_summaries_off(nothing):
    rows = []
    config = RunConfig(save_summary_steps=nothing)
    message(config, summarize=lambda *row: rows.append(row))
    assert rows == []


def test_the_log_has_loss_step_and_rates(caplog):
    """Loss, step, steps/s and examples/s, with a clock that ticks a second per call."""
    caplog.set_level(logging.INFO, logger="specflow")
    seconds = iter(range(100))
    config = RunConfig(log_step_count_steps=5)
    message(config, size=5, steps=10, clock=lambda: float(next(seconds)))
    assert caplog.messages == [
        "step 5: loss = 1.5 (5 steps/s, 40 examples/s)",
        "step 10: loss = 4 (5 steps/s, 40 examples/s)",
    ]


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("cut", [1, 4, 5, 13])
def test_a_resumed_watcher_reports_the_means_of_an_uninterrupted_one(size, cut):
    """Bitwise, from values whose sum rounds; the state goes through JSON as saved."""
    losses = np.random.default_rng(0).lognormal(0, 9, 23).astype(np.float32)
    config = RunConfig(log_step_count_steps=5, save_summary_steps=4)

    def rows_of(*parts):
        reported, summarized, partial = [], [], None
        for first, last in parts:
            watch = Watcher(
                config,
                rows=8,
                report=lambda *row: reported.append(row),
                summarize=lambda *row: summarized.append(row),
            )
            if partial is not None:
                watch.restore(partial)
            for start in range(first, last, size):
                stop = min(start + size, last)
                watch(np.arange(start, stop) + 1, losses[start:stop])
            partial = json.loads(json.dumps(watch.state(last)))
        return reported, summarized

    unbroken = rows_of((0, 23))
    assert rows_of((0, cut), (cut, 23)) == unbroken
    for step, _, row in unbroken[0]:
        mean = losses[step - 5 : step].mean(dtype=np.float64)
        np.testing.assert_allclose(row["loss"], mean, rtol=1e-15)


def test_a_checkpoint_of_a_step_whose_loss_was_not_read_has_no_partial_mean():
    watch = Watcher(RunConfig(), rows=8)
    watch(np.array([1, 2]), np.array([3.0, 4.0]))
    assert watch.state(3) is None


class Losses:
    """The loss of every step, as a hook sees it."""

    def __init__(self):
        self.seen = []

    def after_step(self, step, loss):
        self.seen.append(loss)


@pytest.mark.parametrize("log_every", [5, 1])
def test_rows_are_means_of_the_losses_of_single_steps(line, rows, tmp_path, log_every):
    """NumPy's float64 mean of what a hook saw; a resume in mid-row changes no bit."""
    hook = Losses()

    def train(name, *ends):
        found, loops = [], 1 if name == "hook" else 6
        config = RunConfig(
            log_step_count_steps=log_every,
            save_checkpoints_steps=4,
            tpu_config=TPUConfig(iterations_per_loop=loops),
        )
        for end in ends:
            estimator = line(config=config, model_dir=tmp_path / name)
            estimator.train_and_evaluate(
                TrainSpec(rows, max_steps=end, hooks=[hook] if name == "hook" else []),
                EvalSpec(rows, steps=1),
                report=lambda *row: found.append(row) if row[1] == "train" else None,
            )
            estimator.close()
        return found

    unbroken, resumed, hooked = train("one", 15), train("two", 7, 15), train("hook", 15)
    means = np.array(hook.seen, np.float64).reshape(-1, log_every).mean(axis=1)
    assert [step for step, _, _ in unbroken] == list(range(log_every, 16, log_every))
    # NumPy adds the five in another order.
    np.testing.assert_allclose([row["loss"] for *_, row in hooked], means, rtol=1e-15)
    assert hooked == unbroken
    assert resumed == unbroken
