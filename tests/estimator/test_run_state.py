"""States of hooks and other objects of the user in the checkpoints of a run."""

import json
import logging
import threading
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import specflow as sf
from specflow.diagnostics.errors import DataError
from specflow.loop import decoded, encoded
from tests.estimator.conftest import Line, arrays, line_fn


class Counter:
    """Counts the device loops."""

    def __init__(self):
        self.count = 0

    def after_step(self, step, loss):
        self.count += 1

    def get_state(self):
        return self.count

    def set_state(self, count):
        self.count = count


class Locked(Counter):
    """Has a state that cannot be saved, from a number of loops on."""

    def __init__(self, since):
        super().__init__()
        self.since = since

    def get_state(self):
        return threading.Lock() if self.count >= self.since else self.count


def line(directory, model_fn=line_fn):
    return sf.Estimator(
        model_fn,
        model=lambda rngs: Line(rngs),
        model_dir=directory,
        train_batch_size=8,
        config=sf.RunConfig(
            save_checkpoints_steps=4,
            progress=False,
            tpu_config=sf.TPUConfig(iterations_per_loop=2),
        ),
    )


def test_two_hooks_of_a_class_resume_in_new_objects(tmp_path):
    first = [Counter(), Counter()]
    first[1].count = 10
    line(tmp_path).train(arrays, max_steps=4, hooks=first)
    second = [Counter(), Counter()]
    line(tmp_path).train(arrays, max_steps=8, hooks=second)
    assert [hook.count for hook in second] == [4, 14]


def test_the_checkpoint_of_a_step_has_the_state_after_it(tmp_path):
    """Here of step 4, the second device loop of a call that ends at step 6."""
    estimator = line(tmp_path)
    estimator.train(arrays, max_steps=6, hooks=[Counter()])
    counts = {
        step: estimator.checkpoints.data_position(step)["hook Counter"]
        for step in estimator.checkpoints.steps()
    }
    assert counts == {0: [0], 4: [2], 6: [3]}


def test_a_state_that_cannot_be_saved_is_refused_before_the_first_step(tmp_path):
    with pytest.raises(DataError) as caught:
        line(tmp_path).train(arrays, max_steps=4, hooks=[Locked(0)])
    assert str(caught.value) == (
        "the state of hook Locked: holds lock. Expected numbers, texts, bytes, "
        "arrays of numbers, and lists, tuples, sets and dicts of them. Let the state "
        "hold what is needed to rebuild it."
    )


def test_a_state_that_becomes_one_that_cannot_be_saved_costs_no_step(tmp_path):
    estimator = line(tmp_path)
    with pytest.raises(DataError, match="the state of hook Locked") as caught:
        estimator.train(arrays, max_steps=8, hooks=[Locked(2)])
    assert caught.value.__notes__ == [
        "The state of step 4 is saved: training resumes there."
    ]
    assert "hook Locked" not in estimator.checkpoints.data_position(4)


def test_a_hook_without_a_saved_state_starts_anew_with_one_line(tmp_path, caplog):
    class Renamed(Counter):
        pass

    line(tmp_path).train(arrays, max_steps=4, hooks=[Counter()])
    hook = Renamed()
    with caplog.at_level(logging.WARNING, logger="specflow"):
        line(tmp_path).train(arrays, max_steps=8, hooks=[hook])
    assert hook.count == 2
    assert caplog.messages == [
        "the checkpoint of step 4 has no state of hook Renamed: it starts anew "
        "(unused: hook Counter)"
    ]


def test_a_hook_that_is_gone_leaves_without_a_line(tmp_path, caplog):
    line(tmp_path).train(arrays, max_steps=4, hooks=[Counter()])
    with caplog.at_level(logging.INFO, logger="specflow"):
        line(tmp_path).train(arrays, max_steps=8)
    assert not [line for line in caplog.messages if "no state" in line]


def test_evaluation_hooks_of_the_spec_resume_in_new_objects(tmp_path):
    """They are made by the first evaluation; saves before it keep their state."""
    made = []

    def counted_fn(model, features, labels, mode):
        spec = line_fn(model, features, labels, mode)
        if mode is not sf.Mode.EVAL:
            return spec
        made.append(Counter())
        return spec._replace(evaluation_hooks=[made[-1]])

    def train(directory, *stops):
        counts = {}
        for stop in stops:
            estimator = line(directory, counted_fn)
            estimator.train_and_evaluate(
                sf.TrainSpec(arrays, max_steps=stop),
                sf.EvalSpec(arrays, every_steps=8),
            )
            counts |= {
                step: estimator.checkpoints.data_position(step)
                for step in estimator.checkpoints.steps()
            }
            estimator.close()
        name = "spec's evaluation hook Counter"
        return {step: data.get(name) for step, data in counts.items()}

    # Three batches each; evaluations at steps 2 (the end), 8, 16 and 20 (the end). The
    # resumed run saves step 6 before its first evaluation.
    evaluations = {0: 0, 2: 1, 6: 1, 10: 2, 14: 2, 18: 3, 20: 4}
    assert train(tmp_path, 2, 20) == {
        step: [3 * count] if count else None for step, count in evaluations.items()
    }


NUMBERS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.fractions(),
)
STATES = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers()), inner),
        st.sets(st.integers(), max_size=1),
    ),
    max_leaves=12,
)


@given(STATES)
def test_a_state_comes_back_equal_and_of_the_same_types(state):
    back = decoded(json.loads(json.dumps(encoded(state), allow_nan=False)))
    assert repr(back) == repr(state)


@pytest.mark.parametrize("dtype", ["f4", ">i2", "bool", "U3", "c8", "bfloat16"])
def test_an_array_comes_back_bit_for_bit(dtype):
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    for array in (np.arange(6).reshape(2, 3).astype(kind), np.zeros((0, 2), kind)):
        back = decoded(encoded(array))
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert back.tobytes() == array.tobytes()
    scalar = np.ones(1, kind)[0]
    assert type(decoded(encoded(scalar))) is type(scalar)


def test_nan_and_fractions_are_exact():
    back = decoded(encoded([float("nan"), float("-inf"), Fraction(1, 3)]))
    assert repr(back) == "[nan, -inf, Fraction(1, 3)]"
