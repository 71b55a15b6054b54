"""Hooks, as TensorFlow documents them: when, in which order, and how they stop."""

import numpy as np
import pytest

import specflow as sf
from specflow.loop import StopTraining
from tests.estimator.conftest import X, Y, arrays, line_fn


class Diary:
    """A hook and a listener that write into one list."""

    def __init__(self, entries, name="", stop_at=None):
        self.entries, self.name, self.stop_at = entries, name, stop_at

    def begin(self, step):
        self.entries.append(f"{self.name}begin {step}")

    def before_step(self, step):
        self.entries.append(f"{self.name}before {step}")

    def after_step(self, step, _):
        self.entries.append(f"{self.name}after {step}")
        if step == self.stop_at:
            raise StopTraining

    def end(self, step):
        self.entries.append(f"{self.name}end {step}")


class Listener:
    def __init__(self, entries):
        self.entries = entries

    def after_save(self, step):
        self.entries.append(f"saved {step}")

    def end(self, step):
        self.entries.append(f"listener end {step}")


def every(steps, loop=1):
    return sf.RunConfig(
        save_checkpoints_steps=steps,
        tpu_config=sf.TPUConfig(iterations_per_loop=loop),
    )


def test_hooks_of_the_caller_precede_those_of_the_spec_in_every_mode(line):
    entries = []

    def model_fn(model, features, labels, mode):
        hook = [Diary(entries, "spec ")]
        return line_fn(model, features, labels, mode)._replace(
            training_hooks=hook, evaluation_hooks=hook, prediction_hooks=hook
        )

    both = [
        f"{who}{what}"
        for what in ("begin 0", "before 0", "after 1", "end 1")
        for who in ("caller ", "spec ")
    ]
    caller = [Diary(entries, "caller ")]
    estimator = line(model_fn)
    estimator.train(arrays, steps=1, hooks=caller)
    assert entries == both
    entries.clear()
    estimator.evaluate(arrays, steps=1, hooks=caller)
    assert entries == both
    entries.clear()
    list(estimator.predict(lambda: {"x": X[:8]}, hooks=caller))
    assert entries == both
    estimator.close()


def test_a_checkpoint_precedes_the_hooks_of_its_step(line):
    entries = []
    line(config=every(2)).train(
        arrays,
        steps=3,
        hooks=[Diary(entries)],
        saving_listeners=[Listener(entries)],
    ).close()
    assert entries == [
        *["saved 0", "begin 0", "before 0", "after 1", "before 1"],
        *["saved 2", "after 2", "before 2", "after 3"],
        *["saved 3", "listener end 3", "end 3"],
    ]


def test_end_follows_the_end_of_the_data_and_a_stop_but_not_an_error(line):
    def one_batch():
        yield {"x": X[:8]}, Y[:8]

    class Broken:
        def after_step(self, step, loss):
            raise KeyError("mine")

    ended, stopped, failed = [], [], []
    line().train(one_batch, hooks=[Diary(ended)]).close()
    assert ended[-1] == "end 1"
    estimator = line(config=every(10))
    estimator.train(arrays, steps=9, hooks=[Diary(stopped, stop_at=3)])
    assert stopped[-1] == "end 3"
    for call in (
        lambda hooks: estimator.train(arrays, steps=2, hooks=hooks),
        lambda hooks: estimator.evaluate(arrays, hooks=hooks),
        lambda hooks: list(estimator.predict(arrays, hooks=hooks)),
    ):
        with pytest.raises(KeyError, match="mine"):
            call([Diary(failed), Broken()])
    assert not any("end" in entry for entry in failed)
    estimator.close()


def test_a_stop_skips_no_other_hook_and_the_state_is_saved(line):
    entries = []
    estimator = line(config=every(100))
    hooks = [Diary(entries, "a ", stop_at=2), Diary(entries, "b ")]
    estimator.train(arrays, steps=50, hooks=hooks)
    assert entries[-4:] == ["a after 2", "b after 2", "a end 2", "b end 2"]
    assert estimator.latest_step() == 2
    estimator.close()


def test_a_stop_ends_an_evaluation_with_the_metrics_so_far(line):
    """24 rows in batches of 8; w = 0, so the loss of a batch is its mean of y^2."""
    entries = []
    estimator = line()
    found = estimator.evaluate(arrays, hooks=[Diary(entries, stop_at=2)])
    expected = np.mean(Y[:16].astype(np.float64) ** 2)
    assert found["loss"] == pytest.approx(expected, rel=1e-6)
    assert found["mse"] == pytest.approx(expected, rel=1e-6)
    assert entries == ["begin 0", "before 0", "after 1", "before 1", "after 2", "end 2"]


def test_a_stop_ends_predictions_after_its_batch(line):
    entries = []
    rows = list(line().predict(arrays, hooks=[Diary(entries, stop_at=2)]))
    assert len(rows) == 16
    assert entries == ["begin 0", "before 0", "after 1", "before 1", "after 2", "end 2"]


def test_a_stop_in_an_evaluation_does_not_end_training(line):
    metrics, _ = line(config=every(2)).train_and_evaluate(
        sf.TrainSpec(arrays, 4),
        sf.EvalSpec(arrays, hooks=[Diary([], stop_at=1)], throttle_secs=0),
    )
    assert metrics["global_step"] == 4


def test_with_use_tpu_false_training_hooks_run_once_per_step(line):
    """There every run of the reference was one step, whatever `iterations_per_loop`."""
    entries = []
    estimator = line(mesh=None, use_tpu=False, config=every(100, loop=10))
    estimator.train(arrays, steps=3, hooks=[Diary(entries)])
    assert entries == [
        *["begin 0", "before 0", "after 1", "before 1", "after 2"],
        *["before 2", "after 3", "end 3"],
    ]
    estimator.close()


def test_evaluation_hooks_run_once_per_batch(line):
    entries = []
    line(eval_batch_size=6).evaluate(arrays, hooks=[Diary(entries)])
    assert [entry for entry in entries if "after" in entry] == [
        f"after {number}" for number in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize("hooks", [None, (), iter(())])
def test_hooks_may_be_none_or_empty(line, hooks):
    estimator = line().train(arrays, steps=1, hooks=hooks, saving_listeners=None)
    estimator.evaluate(arrays, hooks=None)
    assert len(list(estimator.predict(arrays, hooks=None))) == 24
    estimator.close()


@pytest.mark.parametrize("wrong", [[3], ["hook"], [Diary], 3, "hook"])
def test_a_value_that_is_no_hook_raises_at_once_in_every_method_and_spec(line, wrong):
    for call in (
        lambda: line().evaluate(arrays, hooks=wrong),
        lambda: line().predict(arrays, hooks=wrong),
        lambda: sf.TrainSpec(arrays, hooks=wrong),
        lambda: sf.EvalSpec(arrays, hooks=wrong),
        lambda: sf.TrainSpec(arrays, saving_listeners=wrong),
        lambda: line().train(arrays, steps=1, saving_listeners=wrong),
    ):
        with pytest.raises(TypeError):
            call()
