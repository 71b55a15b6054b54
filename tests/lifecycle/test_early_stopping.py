"""Early stopping rules and hooks; unlike TensorFlow, a past stall does not count."""

import math
import types

import pytest

from specflow.diagnostics.errors import ConfigError
from specflow.lifecycle import (
    Crossed,
    History,
    Stalled,
    stop_if,
    stop_if_higher,
    stop_if_lower,
    stop_if_no_decrease,
    stop_if_no_increase,
)
from specflow.loop import StopTraining


def asked(hook, step=1):
    """Returns whether the hook ends training after a device loop."""
    try:
        hook.after_step(step, 0.0)
    except StopTraining:
        return True
    return False


@pytest.fixture
def estimator(tmp_path):
    return types.SimpleNamespace(model_dir=tmp_path)


def evaluated(estimator, values, *, name=None):
    history = History(estimator.model_dir, name)
    for step, value in values.items():
        history.add(step, {"auc": value})


@pytest.mark.parametrize(
    ("rule", "values", "stops"),
    [
        (stop_if_higher, {10: 0.8, 20: 0.9}, False),  # strictly beyond
        (stop_if_higher, {10: 0.95, 20: 0.1}, True),  # by any evaluation
        (stop_if_lower, {10: 0.9}, False),
        (stop_if_lower, {10: 0.95, 20: 0.89}, True),
    ],
)
def test_a_threshold_is_exceeded_strictly_and_once_is_enough(
    estimator, rule, values, stops
):
    evaluated(estimator, values)
    assert asked(rule(estimator, "auc", 0.9)) is stops


def test_evaluations_before_min_steps_do_not_count(estimator):
    evaluated(estimator, {10: 0.95})
    assert not asked(stop_if_higher(estimator, "auc", 0.9, min_steps=20))
    evaluated(estimator, {20: 0.95})
    assert asked(stop_if_higher(estimator, "auc", 0.9, min_steps=20))


@pytest.mark.parametrize(
    ("values", "stops"),
    [
        ({10: 0.5}, False),
        ({10: 0.5, 20: 0.4}, False),
        ({10: 0.5, 20: 0.4, 30: 0.5}, True),  # equal is no improvement
        ({10: 0.5, 20: 0.4, 30: 0.4, 40: 0.6}, False),  # the stall is over
    ],
)
def test_a_stall_ends_training_while_it_lasts(estimator, values, stops):
    evaluated(estimator, values)
    assert asked(stop_if_no_increase(estimator, "auc", 20)) is stops


def test_a_patience_of_0_stops_at_the_first_evaluation(estimator):
    assert not asked(stop_if_no_decrease(estimator, "auc", 0))
    evaluated(estimator, {10: 0.5})
    assert asked(stop_if_no_decrease(estimator, "auc", 0))


def test_the_later_of_two_evaluations_of_a_step_counts(estimator):
    evaluated(estimator, {10: 0.5, 20: 0.9})
    evaluated(estimator, {20: 0.1})
    assert not asked(stop_if_higher(estimator, "auc", 0.8))


def test_training_continues_without_evaluations(estimator):
    assert not asked(stop_if_lower(estimator, "auc", 0.9))


def test_an_evaluation_after_a_torn_line_is_kept(estimator):
    evaluated(estimator, {10: 0.5})
    history = History(estimator.model_dir)
    with history.path.open("ab") as file:
        file.write(b'{"step": 20, "au')
    evaluated(estimator, {30: 0.75})
    assert history.values("auc") == {10: 0.5, 30: 0.75}


def test_a_missing_metric_is_named(estimator):
    evaluated(estimator, {10: 0.5})
    with pytest.raises(ConfigError) as error:
        asked(stop_if_lower(estimator, "accuracy", 0.9))
    assert str(error.value) == "accuracy: is in no evaluation. Expected one of auc."


def test_a_first_nan_is_not_the_best():
    values = {10: math.nan, 20: 0.5, 30: 0.4}
    rule = Stalled("auc", 20, "higher")
    assert rule.reason(values) is None
    assert rule.reason({**values, 40: 0.4}) == (
        "auc has not risen for 20 steps, since 0.5 at step 20"
    )


def test_named_evaluations_are_looked_at_by_name(estimator):
    evaluated(estimator, {10: 0.95}, name="train")
    assert not asked(stop_if_higher(estimator, "auc", 0.9))
    assert asked(stop_if_higher(estimator, "auc", 0.9, name="train"))


def test_early_stopping_checks_at_the_first_step_and_then_every_n():
    steps = []
    hook = stop_if(
        lambda: steps.append(step) or False, run_every_secs=None, run_every_steps=5
    )
    for step in range(1, 13):
        hook.after_step(step, 0.0)
    assert steps == [1, 6, 11]


@pytest.mark.parametrize(
    "trigger",
    [{"run_every_steps": 5}, {"run_every_secs": None}],
    ids=["both", "neither"],
)
def test_early_stopping_takes_steps_or_seconds(trigger):
    with pytest.raises(ValueError, match="one of them"):
        stop_if(lambda: True, **trigger)


def test_early_stopping_checks_by_seconds():
    calls = []
    hook = stop_if(lambda: calls.append(1) or False, run_every_secs=3600)
    for step in range(5):
        hook.after_step(step, 0.0)
    assert calls == [1]


def test_evaluations_after_a_step_can_be_removed(estimator):
    evaluated(estimator, {10: 0.5, 20: 0.6, 30: 0.7})
    history = History(estimator.model_dir)
    history.cut(20)
    assert history.values("auc") == {10: 0.5, 20: 0.6}
    assert history.knows("auc")
    assert not history.knows("loss")
    history.cut(0)
    assert history.values("auc") == {}


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (
            Stalled("auc", 20, "higher"),
            "auc has not risen for 20 steps, since 0.95 at step 20",
        ),
        (
            Stalled("auc", 30, "lower"),
            "auc has not fallen for 30 steps, since 0.5 at step 10",
        ),
        (Stalled("auc", 30, "lower", min_steps=41), None),
        (Crossed("auc", 0.9, "higher"), "auc is 0.95 at step 20, higher than 0.9"),
        (Crossed("auc", 0.9, "higher", min_steps=21), None),
        (Crossed("auc", 0.5, "lower"), None),
    ],
)
def test_a_rule_returns_its_reason(rule, reason):
    assert rule.reason({10: 0.5, 20: 0.95, 30: 0.9, 40: 0.6}) == reason


def test_a_metric_that_was_never_defined_stalls_as_undefined():
    rule = Stalled("auc", 20, "higher")
    assert rule.reason({10: math.nan, 30: math.nan}) == (
        "auc has not risen for 20 steps, since undefined at step 10"
    )
