"""The training loop over a fake program: its actions, and the steps they happen at.

The program sums the numbers of its steps, so that each loss is known without it, and
records the device loops it is given.
"""

import dataclasses
import itertools

import numpy as np
import pytest

from specflow import loop
from specflow.diagnostics.errors import NanLossDuringTrainingError
from specflow.executor import StepOutputs
from specflow.executor.device_loops import run_alone
from specflow.loop import Due, EverySteps, NoActions, StopTraining
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
        self.loops, self.bad = [], dict(bad)
        self.timing = Stopwatch()

    def put(self, batch, *, axis):
        assert axis == 1
        return batch

    def train(self, state, features, labels, start, stop, wanted):
        self.loops.append((int(features[start]), int(features[stop - 1]) + 1))
        losses = np.full(len(features), np.nan, np.float32)
        for index in range(start, stop):
            step = int(features[index])
            losses[index] = self.bad.get(step + 1, step)
            state += step
        return state, losses, StepOutputs((), ())


class Recorder(NoActions):
    """Records the actions of the loop, in order.

    Args:
        save_every: steps between checkpoints.
        evaluate_every: steps between evaluations.
        should_stop: the answers after each device loop.
    """

    def __init__(self, save_every=0, evaluate_every=0, should_stop=()):
        self._save, self._evaluate = EverySteps(save_every), EverySteps(evaluate_every)
        self._should_stop = iter(should_stop)
        self.actions, self.losses, self.progress = [], [], []

    def next_step(self, step):
        steps = (trigger.next_after(step) for trigger in (self._save, self._evaluate))
        return min((at for at in steps if at is not None), default=None)

    def due(self, step):
        return Due(evaluate=self._evaluate.is_due(step), save=self._save.is_due(step))

    def evaluate(self, step, state):
        self.actions.append(("evaluate", step, state))

    def save(self, step, state):
        self.actions.append(("save", step, state))

    def log(self, steps, losses, step_metrics):
        self.losses.extend(zip(steps, losses, strict=True))

    def show_progress(self, step, loss):
        self.progress.append((step, loss))

    def should_stop(self):
        return next(self._should_stop, False)


def chunks(size=10, *, start=0, until=None):
    """Yields aligned chunks, as `TrainInput` does: the first one contains `start`."""
    for first in itertools.count(start // size * size, size):
        if until is not None and first >= until:
            return
        yield Chunk(first, size, np.arange(first, first + size))


def train(program, *, start=0, stop=25, size=10, **arguments):
    return train_on(
        program, chunks(size), start_step=start, stop_step=stop, **arguments
    )


def train_on(program, batches, **arguments):
    return run_alone(loop.train(program, 0, batches, **arguments))


def test_all_steps_are_taken_once_in_order():
    program = Adder()
    result = train(program, stop=25)
    assert program.loops == [(0, 10), (10, 20), (20, 25)]
    assert (result.step, result.state, result.loss) == (25, sum(range(25)), 24.0)
    assert not result.data_ended


def test_training_enters_a_chunk_in_its_middle():
    program = Adder()
    result = train_on(program, chunks(start=13), start_step=13, stop_step=25)
    assert program.loops == [(13, 20), (20, 25)]
    assert result.state == sum(range(13, 25))


def test_the_end_of_the_data_ends_training():
    result = train_on(Adder(), chunks(until=20), start_step=0, stop_step=None)
    assert (result.step, result.data_ended) == (20, True)
    result = train_on(Adder(), iter(()), start_step=4, stop_step=9)
    assert (result.step, result.loss, result.data_ended) == (4, None, True)


@pytest.mark.parametrize("size", [1, 3, 10, 100])
def test_every_loss_is_logged_once_for_any_chunk_size(size):
    """The loss of step n is the one before its update: here n - 1."""
    actions = Recorder()
    train(Adder(), size=size, actions=actions)
    assert actions.losses == [(step, step - 1) for step in range(1, 26)]


def test_progress_is_shown_after_every_device_loop():
    actions = Recorder()
    train(Adder(), actions=actions)
    assert actions.progress == [(10, 9.0), (20, 19.0), (25, 24.0)]


def test_device_loops_end_where_an_action_is_due():
    program, actions = Adder(), Recorder(save_every=8, evaluate_every=12)
    train(program, actions=actions)
    ends = [8, 10, 12, 16, 20, 24, 25]
    assert program.loops == list(itertools.pairwise([0, *ends]))


def test_an_action_gets_the_state_of_its_step_and_evaluation_precedes_saving():
    actions = Recorder(save_every=8, evaluate_every=12)
    train(Adder(), actions=actions)
    assert actions.actions == [
        (name, step, sum(range(step)))
        for name, step in [
            *[("save", 8), ("evaluate", 12), ("save", 16)],
            *[("evaluate", 24), ("save", 24)],
        ]
    ]


def test_every_due_action_and_hook_runs_where_one_requests_the_end():
    class Stops(Recorder):
        def evaluate(self, step, state):
            super().evaluate(step, state)
            raise StopTraining

    class Hook:
        def after_step(self, step, loss):
            calls.append((step, loss))

    calls, actions = [], Stops(save_every=5, evaluate_every=5)
    assert train(Adder(), actions=actions, hooks=[Hook()]).step == 5
    assert [name for name, *_ in actions.actions] == ["evaluate", "save"]
    assert calls == [(5, 4.0)]


def test_should_stop_is_asked_after_every_device_loop():
    result = train(Adder(), actions=Recorder(should_stop=[False, True]))
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
    assert program.loops == [(0, 10)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("step", [1, 7, 10, 11, 25])
def test_a_loss_that_is_not_finite_raises_before_any_action_on_its_state(bad, step):
    actions = Recorder(save_every=5)
    with pytest.raises(NanLossDuringTrainingError) as error:
        train(Adder({step: bad}), actions=actions)
    assert str(error.value).startswith(
        f"step {step}: the loss, or a parameter after the update, is {bad}. "
    )
    assert [at for _, at, _ in actions.actions] == list(range(5, step, 5))


def test_a_loss_that_is_not_finite_raises_without_actions():
    with pytest.raises(NanLossDuringTrainingError):
        train(Adder({25: np.nan}))


def test_finite_losses_of_the_same_device_loop_are_logged_before_the_error():
    actions = Recorder()
    with pytest.raises(NanLossDuringTrainingError):
        train(Adder({7: np.nan}), actions=actions)
    assert [step for step, _ in actions.losses] == [1, 2, 3, 4, 5, 6]


def test_an_error_after_a_step_saves_its_state_and_is_raised():
    class Fails(Recorder):
        def save(self, step, state):
            raise OSError("the disk is full")

        def save_on_error(self, step, state, error):
            self.actions.append(("save_on_error", step, state, str(error)))

    actions = Fails(save_every=5)
    with pytest.raises(OSError, match="the disk is full"):
        train(Adder(), actions=actions)
    assert actions.actions == [("save_on_error", 5, sum(range(5)), "the disk is full")]


def test_a_hook_that_stops_in_begin_takes_no_step():
    class Never:
        def begin(self, step):
            raise StopTraining

    result = train(Adder(), hooks=[Never()])
    assert (result.step, result.loss) == (0, None)
