"""Errors after a step: its state is saved, and the error is the one that is raised.

The state to compare with is that of a run without the error: NumPy equality of every
array, as both ran the same program on the same rows.
"""

import numpy as np
import pytest

import specflow as sf
from specflow.diagnostics.errors import NanLossDuringTrainingError, OutputError
from specflow.lifecycle import History
from tests.estimator.conftest import X, Y, arrays, line_fn

LAST = 7


class MineError(Exception):
    """The user's own."""


def fail(*_, **__):
    raise MineError("a mistake")


class Failing:
    """Fails in one method, from a step on."""

    def __init__(self, method, since=LAST):
        def called(step, *_):
            if step >= since:
                fail()

        setattr(self, method, called)


class FailingExporter(sf.LatestExporter):
    def export(self, estimator, directory, metrics, *, is_final):
        fail()


class FailingRule:
    metric = "loss"

    def reason(self, values):
        fail()


def failing_fn(model, features, labels, mode):
    spec = line_fn(model, features, labels, mode)
    if mode is sf.Mode.PREDICT:
        return spec
    return spec._replace(eval_metrics=(fail, spec.eval_metrics[1]))


def config(**fields):
    return sf.RunConfig(
        save_checkpoints_steps=100,
        tpu_config=sf.TPUConfig(iterations_per_loop=2),
        **fields,
    )


FINAL = {
    "metric_fn": {"model_fn": failing_fn},
    "exporter": {"exporters": FailingExporter("mine")},
    "hook after_step": {"hooks": [Failing("after_step")]},
    "hook end": {"hooks": [Failing("end")]},
    "evaluation hook": {"eval_hooks": [Failing("after_step", 1)]},
    "listener before_save": {"listeners": [Failing("before_save")]},
    "listener after_save": {"listeners": [Failing("after_save")]},
    "report": {"report": fail},
}
ON_THE_WAY = {
    "metric_fn": {"model_fn": failing_fn},
    "exporter": {"exporters": FailingExporter("mine")},
    "hook": {"hooks": [Failing("after_step", 4)]},
    "rule": {"rule": FailingRule()},
}


def trained(
    line,
    *,
    model_fn=line_fn,
    exporters=(),
    hooks=(),
    eval_hooks=(),
    listeners=(),
    rule=None,
    report=None,
    every_steps=0,
    **arguments,
):
    """An estimator and the error of its training, if there was one."""
    estimator = line(model_fn, config=config(), **arguments)
    train = sf.TrainSpec(arrays, LAST, hooks, listeners)
    evaluation = sf.EvalSpec(
        arrays,
        exporters=exporters,
        hooks=eval_hooks,
        every_steps=every_steps,
        early_stopping=rule,
    )
    error = None
    try:
        estimator.train_and_evaluate(train, evaluation, report=report)
    except Exception as raised:
        error = raised
    estimator.close()
    return estimator, error


@pytest.fixture
def expected(line, tmp_path):
    """The arrays of a run without an error, by step."""

    def at(step):
        estimator = line(model_dir=tmp_path / f"sound{step}", config=config())
        estimator.train(arrays, max_steps=step)
        found = estimator.checkpoints.arrays(step)
        estimator.close()
        return found

    return at


def assert_saved(estimator, step, expected):
    found = estimator.checkpoints.arrays(step)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("what", FINAL)
def test_the_last_state_is_saved_whatever_fails_at_the_end(line, expected, what):
    estimator, error = trained(line, **FINAL[what])
    assert isinstance(error, MineError)
    assert error.__notes__ == [f"The state of step {LAST} is saved: training resumes "
                               "there."]  # fmt: skip
    assert_saved(estimator, LAST, expected(LAST))
    # The fixed call trains nothing, and evaluates that step.
    counted = []
    again = line(config=config())
    metrics, _ = again.train_and_evaluate(
        sf.TrainSpec(lambda: counted.append(1) or arrays(), LAST), sf.EvalSpec(arrays)
    )
    assert metrics["global_step"] == LAST
    assert again.program.tracer.traces[sf.Mode.TRAIN] <= 1  # For shapes.
    assert "train" not in again.timing
    again.close()


@pytest.mark.parametrize("what", ON_THE_WAY)
def test_the_state_is_saved_where_an_evaluation_during_training_fails(
    line, expected, what
):
    estimator, error = trained(line, every_steps=4, **ON_THE_WAY[what])
    assert isinstance(error, MineError)
    assert estimator.latest_step() == 4
    assert_saved(estimator, 4, expected(4))
    # Resumed, it comes to the same end, and no evaluation is missing.
    again, error = trained(line, every_steps=4)
    assert error is None
    assert_saved(again, LAST, expected(LAST))
    assert list(History(again.model_dir).values("loss")) == [4, LAST]


@pytest.mark.parametrize("when", [{"every_steps": 3}, {"throttle_secs": 0}])
@pytest.mark.parametrize("failing", [2, 3, 4, 6])
def test_no_evaluation_is_missing_whichever_row_cannot_be_reported(line, when, failing):
    """Rows are written while the next steps run, or before an evaluation of their step:
    the state that is saved may be one whose evaluation has not begun."""
    settings = sf.RunConfig(
        save_checkpoints_steps=3,
        log_step_count_steps=1,
        tpu_config=sf.TPUConfig(iterations_per_loop=2),
    )

    def report(step, split, metrics):
        if split == "train" and step == failing:
            fail()

    evaluation = sf.EvalSpec(arrays, **when)
    estimator = line(config=settings)
    with pytest.raises(MineError):
        estimator.train_and_evaluate(
            sf.TrainSpec(arrays, LAST), evaluation, report=report
        )
    estimator.close()
    again = line(config=settings)
    again.train_and_evaluate(sf.TrainSpec(arrays, LAST), evaluation)
    again.close()
    assert list(History(again.model_dir).values("loss")) == [3, 6, LAST]


def test_an_evaluation_at_a_checkpoint_that_fails_does_not_skip_the_save(line):
    estimator = line(
        failing_fn,
        config=sf.RunConfig(
            save_checkpoints_steps=3, tpu_config=sf.TPUConfig(iterations_per_loop=1)
        ),
    )
    with pytest.raises(MineError):
        estimator.train_and_evaluate(
            sf.TrainSpec(arrays, LAST), sf.EvalSpec(arrays, throttle_secs=0)
        )
    assert estimator.checkpoints.steps() == [0, 3]
    estimator.close()


def test_listeners_are_called_for_the_state_saved_on_error(line):
    heard = []

    class Listener:
        def before_save(self, step):
            heard.append(("before", step))

        def after_save(self, step):
            heard.append(("after", step))

    trained(line, model_fn=failing_fn, listeners=[Listener()])
    assert heard[-2:] == [("before", LAST), ("after", LAST)]
    assert len(heard) == 4


def test_a_save_that_fails_too_is_a_note_of_the_error(line, monkeypatch):
    estimator = line(failing_fn, config=config(save_at_start=False))

    def full(*_, **__):
        raise OutputError("the disk is full")

    monkeypatch.setattr(estimator.checkpoints, "save", full)
    with pytest.raises(MineError) as caught:
        estimator.train_and_evaluate(sf.TrainSpec(arrays, LAST), sf.EvalSpec(arrays))
    assert caught.value.__notes__ == [
        f"The state of step {LAST} was not saved: the disk is full."
    ]
    estimator.close()


def test_without_checkpoints_nothing_is_saved(line):
    estimator = line(config=sf.RunConfig(save_checkpoints_steps=None))
    with pytest.raises(MineError) as caught:
        estimator.train(arrays, steps=3, hooks=[Failing("end", 3)])
    assert estimator.checkpoints.steps() == []
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("bad", [5, 7])
def test_a_state_whose_loss_is_not_finite_is_never_saved(line, bad):
    """The report of step 4 fails when steps 5 to 8 are on their way."""

    def batches():
        for step in range(1, 12):
            labels = np.full(8, np.nan, np.float32) if step == bad else Y[:8]
            yield {"x": X[:8]}, labels

    def report(step, split, metrics):
        fail()

    settings = sf.RunConfig(
        save_checkpoints_steps=100,
        log_step_count_steps=4,
        tpu_config=sf.TPUConfig(iterations_per_loop=4),
    )
    estimator = line(config=settings)
    with pytest.raises(MineError):
        estimator.train_and_evaluate(
            sf.TrainSpec(batches, 10), sf.EvalSpec(arrays), report=report
        )
    assert estimator.checkpoints.steps() == [0]
    estimator.close()


def test_a_loss_that_is_not_finite_counts_more_than_a_report_that_fails(line):
    def batches():
        for step in range(1, 12):
            labels = np.full(8, np.nan, np.float32) if step == 4 else Y[:8]
            yield {"x": X[:8]}, labels

    settings = sf.RunConfig(
        save_checkpoints_steps=100,
        log_step_count_steps=2,
        tpu_config=sf.TPUConfig(iterations_per_loop=4),
    )
    estimator = line(config=settings)
    with pytest.raises(NanLossDuringTrainingError):
        estimator.train_and_evaluate(
            sf.TrainSpec(batches, 10), sf.EvalSpec(arrays), report=fail
        )
    assert estimator.checkpoints.steps() == [0]
    estimator.close()


def test_an_error_of_the_input_loses_no_step_before_its_chunk(line, tmp_path):
    """A generator raises in place of its ninth batch; chunks hold two."""

    def batches():
        for number in range(8):
            rows = slice(8 * number % len(X), 8 * number % len(X) + 8)
            yield {"x": X[rows]}, Y[rows]
        fail()

    estimator = line(config=config())
    with pytest.raises(MineError) as error:
        estimator.train(batches, max_steps=20)
    assert error.value.__notes__[-1] == (
        "The state of step 8 is saved: training resumes there."
    )
    assert estimator.latest_step() == 8
    sound = line(config=config(), model_dir=tmp_path / "sound")
    sound.train(batches, max_steps=8)
    assert_saved(estimator, 8, sound.checkpoints.arrays(8))
