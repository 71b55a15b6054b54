"""The training loop over a pretended program: what happens, and at which steps.

The program adds up what it is given, so that each loss can be worked out by hand, and
what the loop asks of it can be written down.
"""

import dataclasses
import itertools

import numpy as np
import pytest

from specflow import loop
from specflow.diagnostics.errors import NanLossDuringTrainingError
from specflow.executor import StepOutputs
from specflow.loop import EverySteps, StopTraining
from specflow.runtime.stopwatch import Stopwatch


@dataclasses.dataclass
class Chunk:
    first_step: int
    steps: int
    features: np.ndarray
    labels: None = None


class Adder:
    """Loss of a step is its number; the state is the sum of the steps taken."""

    def __init__(self, bad=()):
        self.stretches, self.bad = [], dict(bad)
        self.timing = Stopwatch()

    def put(self, batch, *, axis):
        assert axis == 1
        return batch

    def train(self, state, features, labels, start, stop, wanted):
        self.stretches.append((int(features[start]), int(features[stop - 1]) + 1))
        losses = np.full(len(features), np.nan, np.float32)
        for index in range(start, stop):
            step = int(features[index])
            losses[index] = self.bad.get(step + 1, step)
            state += step
        return state, losses, StepOutputs((), ())


def chunks(size=10, *, start=0, until=None):
    """Aligned chunks, as the data room gives them: the first one holds `start`."""
    for first in itertools.count(start // size * size, size):
        if until is not None and first >= until:
            return
        yield Chunk(first, size, np.arange(first, first + size))


def train(program, *, start=0, stop=25, size=10, **arguments):
    return loop.train(
        program, 0, chunks(size), start_step=start, stop_step=stop, **arguments
    )


def test_all_steps_are_taken_once_in_order():
    program = Adder()
    result = train(program, stop=25)
    assert program.stretches == [(0, 10), (10, 20), (20, 25)]
    assert (result.step, result.state, result.loss) == (25, sum(range(25)), 24.0)
    assert not result.data_ended


def test_training_enters_a_chunk_in_its_middle():
    program = Adder()
    result = loop.train(program, 0, chunks(start=13), start_step=13, stop_step=25)
    assert program.stretches == [(13, 20), (20, 25)]
    assert result.state == sum(range(13, 25))


def test_the_end_of_the_data_ends_training():
    result = loop.train(Adder(), 0, chunks(until=20), start_step=0, stop_step=None)
    assert (result.step, result.data_ended) == (20, True)
    result = loop.train(Adder(), 0, iter(()), start_step=4, stop_step=9)
    assert (result.step, result.loss, result.data_ended) == (4, None, True)


@pytest.mark.parametrize("size", [1, 3, 10, 100])
def test_every_loss_is_told_once_whatever_the_chunks(size):
    """The loss of step n is that before its update: here n - 1."""
    rows = []

    def watch(steps, losses, _):
        rows.extend(zip(steps, losses, strict=True))

    train(Adder(), size=size, watch=watch)
    assert rows == [(step, step - 1) for step in range(1, 26)]


def test_progress_hears_the_end_of_every_stretch():
    seen = []
    train(Adder(), progress=lambda step, loss: seen.append((step, loss)))
    assert seen == [(10, 9.0), (20, 19.0), (25, 24.0)]


def test_stretches_end_where_a_rhythm_is_due():
    program, seen = Adder(), []
    train(
        program,
        triggers=[
            EverySteps(8, lambda step, state: seen.append(("save", step, state))),
            EverySteps(12, lambda step, state: seen.append(("eval", step, state))),
            EverySteps(0, lambda *_: pytest.fail("never due")),
        ],
    )
    ends = [8, 10, 12, 16, 20, 24, 25]
    assert program.stretches == list(itertools.pairwise([0, *ends]))
    assert seen == [
        (name, step, sum(range(step)))
        for name, step in [
            *[("save", 8), ("eval", 12), ("save", 16), ("save", 24), ("eval", 24)]
        ]
    ]


def test_should_stop_is_asked_after_every_stretch():
    asked = iter([False, True])
    result = train(Adder(), should_stop=lambda: next(asked))
    assert (result.step, result.loss, result.data_ended) == (20, 19.0, False)


def test_a_stop_before_a_step_takes_no_further_step():
    class Stop:
        def before_step(self, step):
            if step == 10:
                raise StopTraining

        def end(self, step):
            self.ended = step

    program, hook = Adder(), Stop()
    assert train(program, hooks=[hook]).step == 10
    assert hook.ended == 10
    assert program.stretches == [(0, 10)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("step", [1, 7, 10, 11, 25])
def test_a_loss_that_is_not_finite_is_seen_before_any_action(bad, step):
    seen = []
    trigger = EverySteps(5, lambda at, state: seen.append(at))
    with pytest.raises(NanLossDuringTrainingError) as error:
        train(Adder({step: bad}), triggers=[trigger])
    assert str(error.value).startswith(
        f"step {step}: the loss, or a parameter after the update, is {bad}. "
    )
    assert seen == list(range(5, step, 5))


def test_a_loss_that_is_not_finite_is_seen_without_any_action_too():
    with pytest.raises(NanLossDuringTrainingError):
        train(Adder({25: np.nan}))


def test_finite_losses_before_a_bad_one_are_still_told():
    """They were withheld with their stretch: the last row before a NaN is what one
    looks for."""
    told = []
    with pytest.raises(NanLossDuringTrainingError):
        train(Adder({7: np.nan}), watch=lambda steps, *_: told.extend(steps))
    assert told == [1, 2, 3, 4, 5, 6]


def test_a_hook_that_stops_at_the_beginning_trains_nothing():
    class Never:
        def begin(self, step):
            raise StopTraining

    result = train(Adder(), hooks=[Never()])
    assert (result.step, result.loss) == (0, None)
