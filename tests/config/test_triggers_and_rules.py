"""Triggers, early stopping rules and exporters, as declared in `loop` and `output`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.compose import compose
from specflow.config.common.triggers import seconds_of, steps_of
from specflow.config.sections.loop import LoopConfig
from specflow.config.sections.output import CheckpointConfig, OutputConfig
from specflow.diagnostics.errors import ConfigError
from specflow.lifecycle import build_exporters, build_stopping_rule
from specflow.lifecycle.stopping_rules import Crossed, Stalled


@given(st.integers(min_value=0))
def test_a_number_is_steps(number):
    assert LoopConfig(eval_every=number).eval_every == number
    assert (steps_of(number), seconds_of(number)) == (number, None)


@given(st.integers(min_value=1), st.sampled_from([("s", 1), ("m", 60), ("h", 3600)]))
def test_a_number_with_a_unit_is_a_time(number, unit):
    letter, seconds = unit
    trigger = CheckpointConfig(every=f"{number}{letter}").every
    assert (steps_of(trigger), seconds_of(trigger)) == (None, number * seconds)


@pytest.mark.parametrize("value", [-1, True, None, 1.0, "5", "0s", "1.5m", "m", "3d"])
def test_other_values_are_not_triggers(value):
    expected = "whole number >= 0, epochs such as 0.5 epochs, or a time such as 30s"
    with pytest.raises(ValueError, match=expected):
        LoopConfig(eval_every=value)


def test_a_device_loop_has_at_least_one_step():
    assert LoopConfig(iterations_per_loop="30s").iterations_per_loop == "30s"
    with pytest.raises(ValueError, match=r">= 1, epochs such as 0\.5 epochs, or"):
        LoopConfig(iterations_per_loop=0)


def test_the_profile_window_starts_before_the_last_step():
    assert LoopConfig(train_steps=20, profile={"start": 19}).profile is not None
    with pytest.raises(ConfigError) as error:
        compose(["experiment=digits", "loop.train_steps=200", "loop.profile.start=200"])
    assert str(error.value) == (
        "loop.profile.start: got 200 (override loop.profile.start=200). Expected less "
        "than loop.train_steps (200), the last step."
    )


@pytest.mark.parametrize(
    ("declared", "rule"),
    [
        (
            {"name": "no_decrease", "patience_steps": 200},
            Stalled("loss", 200, "lower"),
        ),
        (
            {"name": "no_increase", "metric": "auc", "patience_steps": 1},
            Stalled("auc", 1, "higher"),
        ),
        (
            {"name": "higher", "metric": "auc", "threshold": 0.9, "min_steps": 50},
            Crossed("auc", 0.9, "higher", 50),
        ),
        ({"name": "lower", "threshold": 0.1}, Crossed("loss", 0.1, "lower")),
    ],
)
def test_each_declared_rule_builds_its_early_stopping_rule(declared, rule):
    loop = LoopConfig(eval_every=10, early_stopping=declared)
    assert build_stopping_rule(loop.early_stopping) == rule


def test_no_declared_rule_builds_none():
    assert build_stopping_rule(LoopConfig().early_stopping) is None


def test_each_declared_exporter_builds_an_exporter():
    output = OutputConfig(
        exporters={
            "mine": {"name": "best", "metric": "auc", "order": "highest", "keep": 0},
            "newest": {"name": "latest", "keep": 2, "platforms": ["cpu"]},
            "end": {"name": "final", "batch": [1, 8]},
        }
    )
    made = build_exporters(output.exporters, lambda: None)
    described = [(type(each).__name__, each.name, vars(each)["_keep"]) for each in made]
    assert described == [
        ("BestExporter", "mine", None),  # 0 keeps all
        ("LatestExporter", "newest", 2),
        ("FinalExporter", "end", None),
    ]
    assert vars(made[1])["_export"]["platforms"] == ("cpu",)
    assert vars(made[2])["_export"]["batch"] == [1, 8]


def test_an_exporter_target_receives_its_name_and_input_fn(tmp_path, monkeypatch):
    (tmp_path / "my_exporters.py").write_text(
        "import specflow as sf\n\n\n"
        "class Sometimes(sf.LatestExporter):\n"
        "    def __init__(self, name, *, every, **export):\n"
        "        super().__init__(name, **export)\n"
        "        self.every = every\n\n\n"
        "def nothing(name, input_fn):\n"
        "    return name\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = ["trust=my_exporters", "output.exporters.mine._target_=my_exporters."]
    words[1] += "Sometimes"
    config = compose([*words, "output.exporters.mine.every=3"]).config
    (made,) = build_exporters(config.output.exporters, lambda: None)
    assert (made.name, made.every) == ("mine", 3)  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"exporters\.mine\.every: is missing"):
        compose([*words, "output.exporters.mine.evry=3"])
    config = compose([words[0], words[1].replace("Sometimes", "nothing")]).config
    with pytest.raises(ConfigError) as caught:
        build_exporters(config.output.exporters, lambda: None)
    assert str(caught.value) == (
        "output.exporters.mine: my_exporters.nothing returned str. Expected a "
        "specflow.Exporter."
    )


def test_a_rule_accepts_a_user_metric_and_any_metric_of_a_model_fn():
    """Only what is declared by name is known before anything runs."""
    judged = "loop.early_stopping={name: lower, metric: errors, threshold: 1}"
    metric = "spec.eval_metrics.errors={_target_: specflow.metrics.Sum, values: labels}"
    every = "loop.eval_every=10"
    assert compose(["experiment=digits", every, metric, judged]).config
    with pytest.raises(ConfigError, match=r"early_stopping\.metric: got 'errors'"):
        compose(["experiment=digits", every, judged])


@pytest.mark.parametrize("every", [[500, "10m"], ["10m", 500], 500, "10m", 0])
def test_checkpoints_are_due_by_steps_a_time_or_both(every):
    checkpoint = CheckpointConfig(every=every)
    assert checkpoint.every == every
    mixed = every if isinstance(every, list) else [every]
    steps = next((item for item in mixed if isinstance(item, int)), None)
    assert steps_of(checkpoint.every) == steps
    assert seconds_of(checkpoint.every) == (600 if "10m" in mixed else None)


NO_TRIGGERS = [[], [500], ["10m"], [500, 600], ["10m", "1h"], [0, "10m"], -1, "10"]


@pytest.mark.parametrize(
    "every",
    [*NO_TRIGGERS, [True, "10m"], [500, "10m", 1], {"steps": 500}, None, [5.0, "1m"]],
)
def test_other_triggers_of_checkpoints_are_refused(every):
    with pytest.raises(ConfigError) as caught:
        CheckpointConfig(every=every)
    (diagnostic,) = caught.value.diagnostics
    assert "a time in a list, such as [500, 10m]" in str(diagnostic)
