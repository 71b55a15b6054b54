"""Settings that training ends before are found."""

import pytest

from specflow.compose import compose
from specflow.config.behind_the_end import behind_the_end
from specflow.diagnostics.errors import ConfigError

PATIENT = "loop.early_stopping={name: no_decrease, metric: loss, patience_steps: %s}"
CROSSED = "loop.early_stopping={name: higher, threshold: 0.9, min_steps: %s}"
BEST = "output.exporters.e={name: best, metric: accuracy, order: highest}"


def keys(*lines):
    config = compose(
        ["experiment=wine", "loop.train_steps=200", "loop.eval_every=50", *lines]
    ).config
    assert all(one.code == "never-due" for one in behind_the_end(config))
    return [diagnostic.where for diagnostic in behind_the_end(config)]


@pytest.mark.parametrize(
    ("line", "last", "first_behind", "key"),
    [
        ("loop.eval_every=%s", 200, 201, "loop.eval_every"),
        ("loop.log_every=%s", 200, 201, "loop.log_every"),
        ("output.checkpoint.every=%s", 200, 201, "output.checkpoint.every"),
        (
            "output.checkpoint.keep_every_steps=%s",
            200,
            201,
            "output.checkpoint.keep_every_steps",
        ),
        # The first evaluation is at step 50: 149 steps later there is one more step.
        (PATIENT, 149, 150, "loop.early_stopping.patience_steps"),
        (CROSSED, 199, 200, "loop.early_stopping.min_steps"),
        ("loop.profile={start: 190, steps: %s}", 10, 11, "loop.profile.steps"),
        (
            "optimizer.schedule.factors.%s=0.1",
            199,
            200,
            "optimizer.schedule.factors.200",
        ),
    ],
)
def test_a_step_behind_the_last_one_is_found(line, last, first_behind, key):
    quiet = "output.checkpoint.every=0"
    lines = [quiet] if "checkpoint.every=" not in line else []
    if "factors" in line:
        lines += ["optimizer.schedule={name: piecewise}"]
    assert keys(*lines, line % last) == []
    assert keys(*lines, line % first_behind) == [key]


@pytest.mark.parametrize("every", ["10m", 0])
def test_times_and_switched_off_triggers_are_not_steps(every):
    assert keys(f"loop.eval_every={every}", "output.checkpoint.every=10m") == []


@pytest.mark.parametrize(("every", "found"), [(0, True), (200, True), (100, False)])
def test_a_best_export_of_a_single_evaluation_is_found(every, found):
    lines = (f"loop.eval_every={every}", "output.checkpoint.every=0", BEST)
    assert keys(*lines) == ["output.exporters.e.metric"] * found


@pytest.mark.parametrize("kind", ["constant", "inverse_sqrt", "cosine"])
def test_a_warmup_longer_than_training_is_an_error(kind):
    schedule = f"optimizer.schedule={{name: {kind}, warmup_steps: %s}}"
    assert compose(["experiment=wine", schedule % 199])
    with pytest.raises(ConfigError) as raised:
        compose(["experiment=wine", "loop.train_steps=200", schedule % 201])
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.where == "optimizer.schedule.warmup_steps"
    assert "warmup steps than loop.train_steps=200" in diagnostic.expected
