"""Steps of `resume-check`, and that its options are checked before JAX is loaded."""

import subprocess
import sys

import pytest

from specflow.compose import compose
from specflow.config.resume_plan import ResumePlan


@pytest.mark.parametrize(
    ("save_every", "eval_every", "expected"),
    [
        (500, 500, 6),  # Both once; at most a quarter of the steps.
        (10_000, 50, 4),  # Saves are much rarer: not at each step.
        (10_000, 2, 2),  # The experiment itself does it at each second step.
        (100, 0, 0),
        (100, "10m", 6),
    ],
)
def test_the_triggers_are_scaled_to_few_evaluations(save_every, eval_every, expected):
    config = compose(
        [
            "experiment=digits_mlp",
            f"output.checkpoint.every={save_every}",
            f"loop.eval_every={eval_every}",
        ]
    ).config
    plan = ResumePlan.of(config, None, None)
    assert (plan.steps, plan.at, plan.eval_every) == (24, 9, expected)


def test_steps_that_leave_no_room_are_an_error_without_jax():
    program = (
        "import sys; from specflow.cli.main import main;"
        "status = main(['resume-check', 'experiment=digits', '--steps=9', '--at=8']);"
        "print(status, 'jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "False"]
    assert "--steps: 9 steps leave none to take after the checkpoint of 8" in (
        done.stderr
    )
