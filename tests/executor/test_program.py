"""Compiled programs: their results and their fingerprints."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.config.sections.mesh import AxesConfig
from specflow.executor import Program
from specflow.executor.executables import EXECUTABLES
from specflow.mesh import Partitioner, build_mesh
from specflow.model import SplitModel

X = np.random.default_rng(0).standard_normal((5, 8, 3)).astype(np.float32)
Y = X.sum(-1)


def line_fn(rate):
    def model_fn(model, features, labels, mode):
        value = model(features)[:, 0]
        if mode is sf.Mode.PREDICT:
            return sf.TPUEstimatorSpec(mode, {"value": value})
        loss = ((value - labels) ** 2).mean()
        return sf.TPUEstimatorSpec(mode, {}, loss, optax.sgd(rate))

    return model_fn


def new_program(rate=0.1, *, axes=None, model_fn=None, width=1):
    return Program(
        model_fn or line_fn(rate),
        SplitModel(lambda rngs: nnx.Linear(3, width, rngs=rngs)),
        Partitioner(build_mesh(AxesConfig(**(axes or {})))),
    )


def trained(program, *loops):
    state = program.init_state(0, X[0], Y[0])
    features, labels = program.put((X, Y), axis=1)
    losses = np.full(5, np.nan, np.float32)
    for start, stop in loops:
        state, stacked, _ = program.train(state, features, labels, start, stop)
        losses[start:stop] = np.asarray(stacked)[start:stop]
    return state, losses


def test_any_split_into_device_loops_gives_the_same_state_bit_for_bit():
    expected, losses = trained(new_program(), (0, 5))
    for cuts in (
        [(0, 1), (1, 5)],
        [(0, 2), (2, 3), (3, 5)],
        [(i, i + 1) for i in range(5)],
    ):
        state, pieces = trained(new_program(), *cuts)
        assert pieces.tobytes() == losses.tobytes()
        for path, array in expected.params.items():
            assert (
                np.asarray(state.params[path]).tobytes() == np.asarray(array).tobytes()
            )
    assert int(expected.step) == 5


@pytest.mark.parametrize("axes", [{}, {"data": 2, "fsdp": 2}])
def test_the_training_program_is_lowered_while_initial_values_compile(
    monkeypatch, axes
):
    events, compile_ = [], jax.stages.Lowered.compile
    lowered_train = threading.Event()

    def waiting(self, *args, **kwargs):
        # The compiler of the initial values ends after `train` was lowered.
        waited = lowered_train.is_set() or lowered_train.wait(60)
        events.append(("compile", waited))
        return compile_(self, *args, **kwargs)

    program = new_program(axes=axes)
    lower = program._lowering.train

    def lowering(*args):
        events.append(("lower", True))
        found = lower(*args)
        lowered_train.set()
        return found

    monkeypatch.setattr(program._lowering, "train", lowering)
    monkeypatch.setattr(jax.stages.Lowered, "compile", waiting)
    monkeypatch.setattr(EXECUTABLES, "_size", 0)
    EXECUTABLES.clear()
    state = program.init_state(0, X[0], Y[0], steps=lambda: 5)
    assert events == [("lower", True), ("compile", True)]
    # It is the program of the device loop, which is not lowered again.
    state, *_ = program.train(state, *program.put((X, Y), axis=1), 0, 5)
    assert [name for name, _ in events].count("lower") == 1
    expected, _ = trained(new_program(axes=axes), (0, 5))
    for path, array in expected.params.items():
        np.testing.assert_array_equal(state.params[path], array)


@pytest.mark.parametrize(("devices", "waits"), [(1, 0), (2, 2)])
def test_single_steps_on_several_devices_do_not_pile_up(monkeypatch, devices, waits):
    """JAX's CPU client holds a thread of the devices at the 33rd call in flight."""

    def model_fn(model, features, labels, mode):
        loss = ((model(features[:, None])[:, 0, 0] - labels) ** 2).mean()
        return sf.TPUEstimatorSpec(mode, {}, loss, optax.sgd(0.1))

    program = Program(
        model_fn,
        SplitModel(lambda rngs: nnx.Conv(3, 1, 1, rngs=rngs)),
        Partitioner(build_mesh(AxesConfig(data=devices), jax.devices()[:devices])),
    )
    state = program.init_state(0, X[0], Y[0])
    features, labels = program.put((X[[0] * 20], Y[[0] * 20]), axis=1)
    ready, waited = jax.block_until_ready, []
    monkeypatch.setattr(
        jax, "block_until_ready", lambda array: waited.append(array) or ready(array)
    )
    _, losses, _ = program.train(state, features, labels, 0, 20)
    assert [array.shape for array in waited] == [(20,)] * waits
    assert np.isfinite(losses).all()


def test_an_error_while_initial_values_compile_is_raised():
    def steps():
        raise sf.DataError("no length")

    with pytest.raises(sf.DataError, match="no length"):
        new_program().init_state(0, X[0], Y[0], steps=steps)


def test_losses_are_those_before_the_update_as_in_numpy():
    program = new_program()
    state = program.init_state(0, X[0], Y[0])
    kernel, bias = (
        np.asarray(state.params[name], np.float64) for name in ("kernel", "bias")
    )
    expected = []
    for x, y in zip(X.astype(np.float64), Y.astype(np.float64), strict=True):
        error = x @ kernel[:, 0] + bias[0] - y
        expected.append((error**2).mean())
        kernel = kernel - 0.1 * 2 / 8 * (x.T @ error)[:, None]
        bias = bias - 0.1 * 2 / 8 * error.sum()
    _, losses = trained(program, (0, 5))
    # Means of eight float32 squares, five steps.
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_losses_of_stacked_batches_that_did_not_run_are_nan():
    program = new_program()
    state = program.init_state(0, X[0], Y[0])
    features, labels = program.put((X, Y), axis=1)
    _, losses, _ = program.train(state, features, labels, 1, 3)
    assert np.isnan(losses).tolist() == [True, False, False, True, True]


def test_initial_values_do_not_depend_on_the_mesh():
    one = new_program().init_state(3, X[0], Y[0])
    eight = new_program(axes={"data": 2, "fsdp": 4}).init_state(3, X[0], Y[0])
    other = new_program().init_state(4, X[0], Y[0])
    for path, array in one.params.items():
        np.testing.assert_array_equal(array, eight.params[path])
    assert not np.array_equal(one.params["kernel"], other.params["kernel"])


def test_a_batch_that_does_not_divide_over_the_mesh_is_replicated():
    program = new_program(axes={"data": 8})
    even, odd = program.put((X[0], X[0, :5]))
    assert not even.sharding.is_fully_replicated
    assert odd.sharding.is_fully_replicated
    np.testing.assert_array_equal(odd, X[0, :5])


def test_only_equal_programs_have_equal_fingerprints():
    def fingerprint(**arguments):
        program = new_program(**arguments)
        trained(program, (0, 1))
        return program.fingerprint()

    usual = fingerprint()
    assert fingerprint() == usual
    assert len({usual, fingerprint(rate=0.2), fingerprint(axes={"data": 8})}) == 3


def test_the_model_state_changes_in_training_only():
    class Counting(nnx.Module):
        def __init__(self, *, rngs):
            self.linear = nnx.Linear(3, 1, rngs=rngs)
            self.calls = nnx.BatchStat(jnp.zeros((), jnp.int32))

        def __call__(self, x):
            self.calls[...] += 1
            return self.linear(x)

    program = Program(
        line_fn(0.1),
        SplitModel(lambda rngs: Counting(rngs=rngs)),
        Partitioner(build_mesh(AxesConfig())),
    )
    state, _ = trained(program, (0, 5))
    assert {path: int(x) for path, x in state.model_state.items()} == {"calls": 5}
    mask = np.ones(8, bool)
    program.evaluate(state, *program.put((X[0], Y[0], mask)))
    program.predict(state, *program.put((X[0], mask)))
    assert int(state.model_state["calls"]) == 5


def test_eval_tensors_that_are_not_batch_major_are_an_error_with_both_shapes():
    def model_fn(model, features, labels, mode):
        value = model(features)[:, 0]
        pair = (lambda total, value: {}, {"total": value.sum(), "value": value})
        return sf.TPUEstimatorSpec(mode, {}, value.mean(), optax.sgd(0.1), pair)

    with pytest.raises(sf.SpecError) as error:
        new_program(model_fn=model_fn).spec(sf.Mode.EVAL, X[0], Y[0])
    assert str(error.value) == (
        "TPUEstimatorSpec.eval_metrics[1]['total']: is float32[], and 'value' is "
        "float32[8]. Expected a batch-major tensor: its first axis is the batch. Give "
        "one value for each example; reduce in the function."
    )


def test_the_abstract_state_allocates_nothing():
    program = new_program(axes={"fsdp": 8})
    shapes = program.abstract_state(X[0], Y[0])
    assert all(
        isinstance(leaf, jax.ShapeDtypeStruct) and leaf.sharding is not None
        for leaf in jax.tree.leaves(shapes)
    )
