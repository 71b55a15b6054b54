"""20 steps equal 10 steps, a stop, and 10 resumed steps, bit for bit on one CPU."""

import jax
import numpy as np
import pytest

import specflow as sf
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.executor import to_tree
from specflow.loop import StopTraining

ONE_DEVICE = MeshConfig(axes=AxesConfig())


def train(estimator, case, *, until, hooks=()):
    """Trains; returns the reported loss of each step, and the full state."""
    curve = {}

    def report(step, split, metrics):
        if split == "train":
            curve[step] = metrics["loss"]

    estimator.train_and_evaluate(
        sf.TrainSpec(case.input_fn, max_steps=until, hooks=hooks),
        sf.EvalSpec(case.input_fn, steps=1, every_steps=0),
        report=report,
    )
    like = estimator.program.abstract_state(*estimator._batch)
    saved = estimator.checkpoints.restore(to_tree(like), step=until)
    return curve, saved


def assert_bitwise_equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for path, array in jax.tree_util.tree_leaves_with_path(one):
        twin = dict(jax.tree_util.tree_leaves_with_path(other))[path]
        assert np.asarray(array).tobytes() == np.asarray(twin).tobytes(), path


def test_twenty_steps_equal_ten_then_resumed_ten(case, estimator_of, new_dir):
    """Chunks of 7 steps, so that every stop is inside one."""

    def run_until(*stops):
        directory, curve = new_dir(), {}
        for until in stops:
            estimator = estimator_of(
                case, steps_a_loop=7, mesh=ONE_DEVICE, model_dir=directory
            )
            piece, saved = train(estimator, case, until=until)
            estimator.close()
            assert not curve.keys() & piece.keys()  # No step is taken twice.
            curve |= piece
        return curve, saved

    curve, saved = run_until(20)
    assert list(curve) == list(range(1, 21))
    # That a run may stop more than once is no matter of the model.
    often = [(3, 10, 16, 20)] if case.name == "mlp with dropout" else []
    for stops in ((10, 20), *often):
        pieces, resumed = run_until(*stops)
        assert pieces == curve
        assert_bitwise_equal(resumed.state, saved.state)
        assert resumed.data == saved.data


def test_the_same_estimator_resumes_as_a_new_one_does(mlp, estimator_of):
    whole = estimator_of(mlp, steps_a_loop=7, mesh=ONE_DEVICE)
    curve, saved = train(whole, mlp, until=20)
    kept = estimator_of(mlp, steps_a_loop=7, mesh=ONE_DEVICE)
    pieces = train(kept, mlp, until=10)[0] | train(kept, mlp, until=20)[0]
    whole.close()
    assert pieces == curve
    like = kept.program.abstract_state(*kept._batch)
    assert_bitwise_equal(
        kept.checkpoints.restore(to_tree(like), step=20).state, saved.state
    )
    kept.close()


@pytest.mark.parametrize("steps_a_loop", [1, 50])
def test_the_length_of_device_loops_changes_nothing(mlp, estimator_of, steps_a_loop):
    results = {}
    for loops in (7, steps_a_loop):
        estimator = estimator_of(mlp, steps_a_loop=loops, mesh=ONE_DEVICE)
        results[loops] = train(estimator, mlp, until=20)
        estimator.close()
    (curve, saved), (other_curve, other) = results.values()
    assert curve == other_curve
    assert_bitwise_equal(saved.state, other.state)


def test_a_stop_by_a_hook_resumes_like_any_other(estimator_of, new_dir, mlp):
    class StopAtEight:
        def after_step(self, step, loss):
            if step >= 8:
                raise StopTraining

    whole = estimator_of(mlp, steps_a_loop=7, mesh=ONE_DEVICE)
    curve, saved = train(whole, mlp, until=20)
    whole.close()
    directory = new_dir()
    first = estimator_of(mlp, steps_a_loop=7, mesh=ONE_DEVICE, model_dir=directory)
    first.train(mlp.input_fn, max_steps=20, hooks=[StopAtEight()])
    stopped_at = first.latest_step()
    first.close()
    assert stopped_at == 14  # The end of the loop that holds step 8.
    second = estimator_of(mlp, steps_a_loop=7, mesh=ONE_DEVICE, model_dir=directory)
    model_state, resumed = train(second, mlp, until=20)
    second.close()
    assert model_state == {step: curve[step] for step in range(15, 21)}
    assert_bitwise_equal(resumed.state, saved.state)
