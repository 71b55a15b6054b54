"""What is said of the losses while training, and at which steps (C10.13, C10.14)."""

import logging

import numpy as np
import pytest

from specflow import RunConfig
from specflow.estimator.watching import Watcher


def told(config, *, size=3, steps=25, **arguments):
    watch = Watcher(config, rows=8, **arguments)
    for first in range(0, steps, size):
        numbers = np.arange(first, min(first + size, steps)) + 1
        watch(numbers, numbers.astype(np.float32) / 2)


@pytest.mark.parametrize("size", [1, 3, 10, 100])
@pytest.mark.parametrize("every", [1, 4, 10])
def test_losses_are_reported_at_multiples_whatever_the_stretches(size, every):
    rows = []
    config = RunConfig(log_step_count_steps=every)
    told(config, size=size, report=lambda *row: rows.append(row))
    assert rows == [
        (step, "train", {"loss": step / 2}) for step in range(every, 26, every)
    ]


def test_no_loss_is_reported_when_none_is_asked_for():
    rows = []
    config = RunConfig(log_step_count_steps=None)
    told(config, report=lambda *row: rows.append(row))
    assert rows == []


@pytest.mark.parametrize("size", [1, 4, 25])
def test_summaries_come_at_the_first_step_and_every_n_after_it(size):
    """C10.13: loss at steps 1, 1 + n, 1 + 2n, ..."""
    rows = []
    config = RunConfig(save_summary_steps=10)
    told(config, size=size, summarize=lambda *row: rows.append(row))
    assert [step for step, _, _ in rows] == [1, 11, 21]


@pytest.mark.parametrize("nothing", [0, None])
def test_0_and_none_switch_summaries_off(nothing):
    rows = []
    config = RunConfig(save_summary_steps=nothing)
    told(config, summarize=lambda *row: rows.append(row))
    assert rows == []


def test_the_log_has_loss_step_and_rates(caplog):
    """C10.14: loss, step, steps/s and examples/s; here a second passes at each look."""
    caplog.set_level(logging.INFO, logger="specflow")
    seconds = iter(range(100))
    config = RunConfig(log_step_count_steps=5)
    told(config, size=5, steps=10, clock=lambda: float(next(seconds)))
    assert caplog.messages == [
        "step 5: loss = 2.5 (5 steps/s, 40 examples/s)",
        "step 10: loss = 5 (5 steps/s, 40 examples/s)",
    ]
