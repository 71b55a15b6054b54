"""The warmup: in steps, or as a share of the final number of steps."""

import json

import pytest

from specflow.compose import compose
from specflow.compose.read.config_folders import folders
from specflow.diagnostics.errors import ConfigError

KEY = "optimizer.schedule"
STEPS = {
    "breast_cancer": 20,
    "diabetes": 20,
    "diabetes_counts": 20,
    "digits": 100,
    "digits_mlp": 100,
    "digits_resnet": 50,
    "digits_vit": 50,
    "lm_10m": 100,
    "lm_124m": 2_000,
    "lm_1b": 2_000,
    "lm_70b": 2_000,
    "lm_7b": 2_000,
    "stdlib_lm": 50,
    "wine": 20,
}
"""Warmup steps that these had when they gave them as a number."""


def errors(lines, **dirs):
    with pytest.raises(ConfigError) as caught:
        compose(lines, **dirs)
    return [str(diagnostic) for diagnostic in caught.value.diagnostics]


@pytest.mark.parametrize("name", folders().choices("experiment"))
def test_shipped_experiments_keep_their_warmup_and_need_no_second_override(name):
    config = compose([f"experiment={name}"]).config
    if name in STEPS:
        schedule = config.optimizer.schedule
        assert schedule.warmup_steps is None
        assert schedule.warmup_of(config.loop.train_steps) == STEPS[name]
    for steps in (1, 3, 20, 100):
        compose([f"experiment={name}", f"loop.train_steps={steps}"])


def test_the_unit_of_the_later_layer_wins(project):
    own = "# @package _global_\ndefaults: [digits]\n%s: {%s: {%s}}\n"
    project(
        {
            "mine/experiment/steps.yaml": own
            % ("optimizer", "schedule", "warmup_steps: 7"),
        }
    )
    composed = compose(["experiment=steps"], config_dirs=["mine"])
    assert composed.tree["optimizer"]["schedule"]["warmup"] is None
    assert [(one.key, one.value, str(one.origin)) for one in composed.dropped] == [
        (f"{KEY}.warmup", 0.084, "conf/experiment/digits.yaml:18")
    ]
    again = compose(["experiment=steps", f"{KEY}.warmup=0.5"], config_dirs=["mine"])
    schedule = again.config.optimizer.schedule
    assert (schedule.warmup, schedule.warmup_steps) == (0.5, None)
    nothing = compose(["experiment=digits", f"{KEY}.warmup_steps=null"])
    assert nothing.config.optimizer.schedule.warmup == 0.084


def test_both_units_in_one_layer_are_an_error_with_both_origins(project):
    own = "# @package _global_\ndefaults: [digits]\noptimizer:\n  schedule:\n"
    own += "    warmup: 0.2\n    warmup_steps: 7\n"
    project({"mine/experiment/both.yaml": own})
    take = f"Remove one of them: ~{KEY}.warmup or ~{KEY}.warmup_steps."
    assert errors(["experiment=both"], config_dirs=["mine"]) == [
        f"{KEY}.warmup_steps: got 7 (mine/experiment/both.yaml:6:5). Expected null "
        f"beside warmup=0.2 (mine/experiment/both.yaml:5:5). {take}"
    ]
    line = f"{KEY}.warmup_steps=7"
    assert errors(["experiment=digits", line, f"{KEY}.warmup=0.2", "seed=-1"]) == [
        "seed: got -1 (override seed=-1). Expected a whole number >= 0.",
        f"{KEY}.warmup_steps: got 7 (override {line}). Expected null beside "
        f"warmup=0.2 (override {KEY}.warmup=0.2). {take}",
    ]
    assert compose(["experiment=both", f"~{KEY}.warmup"], config_dirs=["mine"])


def test_a_warmup_that_is_too_long_names_both_keys_and_the_fix():
    line, steps = f"{KEY}.warmup_steps=50", "loop.train_steps=40"
    assert errors(["experiment=digits", line, steps]) == [
        f"{KEY}.warmup_steps: got 50 (override {line}). Expected fewer warmup steps "
        f"than {steps} (override {steps}). Set a fraction of the steps instead: "
        f"{KEY}.warmup=0.1."
    ]
    decay = f"{KEY}.decay_steps=50"
    assert errors(["experiment=digits", decay]) == [
        f"{KEY}.warmup: got 0.084 (conf/experiment/digits.yaml:18:28). Expected fewer "
        f"warmup steps than {decay} (override {decay})."
    ]


def test_the_schedule_of_an_optimizer_part_is_validated():
    part = "optimizer.parts.wide.optimizer.schedule"
    line = f"{part}={{name: cosine, warmup_steps: 900}}"
    (message,) = errors(["experiment=breast_cancer_wide_and_deep", line])
    assert message.startswith(f"{part}.warmup_steps: got 900 (override {line}). ")


@pytest.fixture
def old_run(project):
    """A run from before there was a share, by a version of the same number."""
    folder = project({}) / "run"
    folder.mkdir()
    text = compose(["experiment=digits"]).yaml()
    old = text.replace("    warmup: 0.084\n", "")
    old = old.replace("warmup_steps: null", "warmup_steps: 100")
    assert old.count("warmup") == 1
    (folder / "config.yaml").write_text(old)
    (folder / "manifest.json").write_text(json.dumps({"packages": {"specflow": "0"}}))
    return folder


def test_a_mistake_in_an_override_of_a_run_is_not_a_version_problem(old_run):
    assert compose(["run=run"]).config.optimizer.schedule.warmup_of(1_200) == 100
    (message,) = errors(["run=run", "loop.train_steps=100"])
    assert message.startswith(f"{KEY}.warmup_steps: got 100 (run/config.yaml:")
    assert compose(["run=run", "loop.train_steps=100", f"{KEY}.warmup=0.1"])
    (old_run / "config.yaml").write_text(
        (old_run / "config.yaml").read_text().replace("warmup_steps", "warmup_step")
    )
    message = errors(["run=run", "loop.train_steps=100"])
    assert len(message) == 2
    assert message[0].startswith("run: run was written by specflow 0; specflow ")
