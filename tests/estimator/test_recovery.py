"""Recovery: a device fails transiently, and training resumes."""

import logging
import os

import jax
import numpy as np
import pytest
from jax.errors import JaxRuntimeError

import specflow as sf
from specflow.diagnostics.errors import SpecflowWarning
from tests.estimator.conftest import X, Y
from tests.estimator.test_input_place import epoch, grain_epoch

TRANSIENT = ("ABORTED", "CANCELLED", "DATA_LOSS", "UNAVAILABLE")
EVERY_2 = sf.RunConfig(
    save_checkpoints_steps=2, tpu_config=sf.TPUConfig(iterations_per_loop=1)
)


def planted(estimator, failing, status="UNAVAILABLE"):
    """Has calls of the step fail, by their number from 0, after the state was used up.

    The code stands, for its traceback, in JAX's folder: JAX raises such errors.
    """
    source = """
def train(*arguments):
    number = next(numbers)
    result = real(*arguments)
    if number in failing:
        raise JaxRuntimeError(f"{status}: planted at call {number}")
    return result
"""
    names = {
        "JaxRuntimeError": JaxRuntimeError,
        "failing": failing,
        "numbers": iter(range(1000)),
        "real": estimator.program.train,
        "status": status,
    }
    file = os.path.join(os.path.dirname(jax.__file__), "planted.py")
    exec(compile(source, file, "exec"), names)
    estimator.program.train = names["train"]


def arrays():
    return {"x": X}, Y


def repeated():
    for _ in range(3):
        yield from epoch()


def state_of(estimator):
    return {
        name: array.tobytes() for name, array in estimator.checkpoints.arrays().items()
    }


@pytest.mark.parametrize("status", TRANSIENT)
@pytest.mark.parametrize("failing", [(0,), (3,), (1, 4, 5, 9)])
def test_training_resumes_and_ends_as_if_nothing_had_happened(line, status, failing):
    whole, estimator = line(model_dir=None), line(config=EVERY_2)
    planted(estimator, failing, status)
    whole.train(arrays, steps=7)
    estimator.train(arrays, steps=7)
    assert estimator.latest_step() == 7
    assert state_of(estimator) == state_of(whole)
    assert estimator.recoveries == len(failing)
    for one in (whole, estimator):
        one.close()


@pytest.mark.parametrize("input_fn", [repeated, lambda: list(repeated()), grain_epoch])
def test_the_input_resumes_at_the_place_of_the_checkpoint(line, input_fn):
    whole, estimator = line(model_dir=None), line(config=EVERY_2)
    planted(estimator, (2, 3))
    whole.train(input_fn)
    estimator.train(input_fn)
    assert estimator.latest_step() == whole.latest_step()
    assert state_of(estimator) == state_of(whole)


def test_with_restart_the_input_begins_anew_as_in_the_reference(line):
    """Batches 0, 1, 2 (lost), then from the checkpoint of step 2 on 0, 1 again."""
    estimator = line(config=EVERY_2.replace(resume_input="restart"))
    planted(estimator, (2,))
    estimator.train(epoch, steps=4)
    whole, (first, second) = line(model_dir=None), list(epoch())[:2]
    whole.train(lambda: [first, second] * 2)
    np.testing.assert_array_equal(
        estimator.checkpoints.arrays()["params/w"],
        whole.checkpoints.arrays()["params/w"],
    )


def test_an_iterator_that_cannot_be_rewound_warns(line):
    shared = repeated()
    estimator = line(config=EVERY_2)
    planted(estimator, (3,))
    with pytest.warns(SpecflowWarning, match=r"has given 16 rows that training has"):
        estimator.train(lambda: shared, steps=5)
    assert estimator.latest_step() == 5


@pytest.mark.parametrize(
    "status",
    ["RESOURCE_EXHAUSTED", "INTERNAL", "DEADLINE_EXCEEDED", "INVALID_ARGUMENT"],
)
def test_an_error_that_would_repeat_is_raised(line, status):
    estimator = line(config=EVERY_2)
    planted(estimator, (3,), status)
    with pytest.raises(JaxRuntimeError, match=status):
        estimator.train(arrays, steps=7)
    assert estimator.recoveries == 0
    # As for any other error, a later call goes on from the newest checkpoint.
    assert estimator.train(arrays, max_steps=7).latest_step() == 7


def test_an_error_in_the_code_of_users_is_theirs(line):
    class Hook:
        def after_step(self, step, loss):
            if step == 3:
                raise JaxRuntimeError("UNAVAILABLE: raised by a hook")

    estimator = line(config=EVERY_2)
    with pytest.raises(JaxRuntimeError, match="raised by a hook"):
        estimator.train(arrays, steps=7, hooks=[Hook()])
    assert estimator.recoveries == 0


@pytest.mark.parametrize(
    "config",
    [EVERY_2.replace(recover=0), EVERY_2.replace(save_checkpoints_steps=None)],
)
def test_without_tries_or_checkpoints_the_error_is_raised(line, config):
    estimator = line(config=config)
    planted(estimator, (3,))
    with pytest.raises(JaxRuntimeError, match="planted at call 3"):
        estimator.train(arrays, steps=7)


def test_tries_are_those_without_a_newer_checkpoint(line, caplog):
    """Two tries: calls 2 and 3 are step 3, twice; 5, 6 and 7 are step 5, thrice."""
    estimator = line(config=EVERY_2.replace(recover=2))
    planted(estimator, (2, 3, 6, 7, 8))
    with (
        caplog.at_level(logging.WARNING, logger="specflow"),
        pytest.raises(JaxRuntimeError, match="planted at call 8"),
    ):
        estimator.train(arrays, steps=7)
    assert estimator.recoveries == 4
    assert estimator.latest_step() == 4
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"a device failed: UNAVAILABLE: planted at call {call}; training resumes from "
        f"the checkpoint of step {step} (try {number} of 2)"
        for call, step, number in ((2, 2, 1), (3, 2, 2), (6, 4, 1), (7, 4, 2))
    ]


def test_steps_that_are_repeated_are_reported_once(line):
    found = []
    for failing in ((), (3, 6)):
        config = EVERY_2.replace(log_step_count_steps=1)
        estimator = line(model_dir=None, config=config)
        planted(estimator, failing)
        rows = []
        metrics, _ = estimator.train_and_evaluate(
            sf.TrainSpec(arrays, max_steps=7),
            sf.EvalSpec(arrays, throttle_secs=0),
            report=lambda *row, rows=rows: rows.append(row),
        )
        found.append((rows, metrics))
        estimator.close()
    assert found[0] == found[1]
    assert [step for step, split, _ in found[0][0] if split == "train"] == [
        *range(1, 8)
    ]
