"""A call to train, as TensorFlow documents it for TPUEstimator."""

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import optax
import pytest

import specflow as sf
from specflow.diagnostics.errors import (
    ConfigError,
    DataError,
    NanLossDuringTrainingError,
    SpecflowWarning,
)
from tests.estimator.conftest import X, Y, arrays, line_fn

LOOPS_OF_1 = sf.TPUConfig(iterations_per_loop=1)
IN_ORDER = sf.RunConfig(shuffle=False, tpu_config=LOOPS_OF_1)


def descended(steps, *, start=None):
    """Weights and losses of plain descent by 0.1 over batches of 8, in float64."""
    w, losses = np.zeros(3) if start is None else np.array(start, np.float64), []
    for step in steps:
        part = slice(step % 3 * 8, step % 3 * 8 + 8)
        wrong = X[part].astype(np.float64) @ w - Y[part]
        losses.append(np.mean(wrong**2))
        w = w - 0.1 * 2 / 8 * X[part].T @ wrong
    return w, losses


def weights(estimator):
    return np.asarray(estimator.checkpoints.arrays()["params/w"])


class Losses:
    def __init__(self):
        self.seen = {}

    def after_step(self, step, loss):
        self.seen[step] = loss


# -- RunConfig and TPUConfig


@pytest.mark.parametrize("size", ["8", 16.0, True])
@pytest.mark.parametrize("name", ["train", "eval", "predict"])
def test_a_batch_size_of_another_type_is_a_type_error(line, name, size):
    with pytest.raises(TypeError, match=f"{name}_batch_size: got .*positive integer"):
        line(**{f"{name}_batch_size": size})


def test_the_last_device_loop_ends_at_the_final_step(line):
    losses = Losses()
    config = sf.RunConfig(tpu_config=sf.TPUConfig(iterations_per_loop=3))
    line(config=config).train(arrays, steps=11, hooks=[losses]).close()
    assert list(losses.seen) == [3, 6, 9, 11]


def test_evaluation_ignores_iterations_per_loop(line):
    losses = Losses()
    config = sf.RunConfig(tpu_config=sf.TPUConfig(iterations_per_loop=3))
    line(config=config).evaluate(arrays, hooks=[losses])
    assert list(losses.seen) == [1, 2, 3]


def test_iterations_per_loop_as_a_time_starts_with_one_step(line):
    losses = Losses()
    config = sf.RunConfig(tpu_config=sf.TPUConfig(iterations_per_loop="1h"))
    line(config=config).train(arrays, steps=5, hooks=[losses]).close()
    assert list(losses.seen) == [1, 5]


def test_checkpoints_by_seconds_are_saved_at_start_and_end_too(line):
    estimator = line(config=sf.RunConfig(save_checkpoints_secs=3600))
    estimator.train(arrays, steps=3)
    assert estimator.checkpoints.steps() == [0, 3]
    estimator.close()


@pytest.mark.parametrize(
    ("keep", "steps"), [(2, [5, 6]), (0, range(7)), (None, range(7))]
)
def test_the_newest_checkpoints_are_kept_across_calls_and_estimators(line, keep, steps):
    config = sf.RunConfig(save_checkpoints_steps=1, keep_checkpoint_max=keep)
    estimator = line(config=config)
    estimator.train(arrays, steps=2).train(arrays, steps=2).close()
    again = line(config=config)
    again.train(arrays, steps=2).close()
    assert again.checkpoints.steps() == list(steps)


def test_equal_seeds_give_equal_initial_weights_and_no_seed_gives_random_ones(
    line, tmp_path
):
    from flax import nnx

    def first(seed, name):
        estimator = line(
            lambda model, features, mode: sf.TPUEstimatorSpec(
                mode, model(features["x"])
            ),
            model=lambda rngs: nnx.Linear(3, 4, rngs=rngs),
            model_dir=tmp_path / name,
            config=sf.RunConfig(seed=seed),
        )
        return np.stack(list(estimator.predict(lambda: {"x": X})))

    assert np.array_equal(first(7, "a"), first(7, "b"))
    assert not np.array_equal(first(7, "c"), first(8, "d"))
    assert not np.array_equal(first(None, "e"), first(None, "f"))
    for seed in (2**32 + 1, 2**40):
        assert np.array_equal(first(seed, f"{seed}"), first(seed, f"{seed} again"))


def test_model_dir_defaults_to_a_temporary_directory(line, tmp_path):
    made = line(model_dir=None).model_dir
    assert made.is_dir()
    assert made.parent == Path(tempfile.gettempdir())
    assert line(model_dir=None, config=sf.RunConfig(model_dir=tmp_path)).model_dir == (
        tmp_path
    )


@pytest.mark.parametrize("config", [{}, {"seed": 1}, "config", sf.TPUConfig()])
def test_config_must_be_a_run_config(line, config):
    with pytest.raises(ValueError, match=r"Expected a specflow\.RunConfig"):
        line(config=config)


def test_use_tpu_in_the_params_is_overwritten(line):
    seen = []

    def model_fn(model, features, labels, mode, params):
        seen.append(params["use_tpu"])
        return line_fn(model, features, labels, mode)

    line(model_fn, params={"use_tpu": "perhaps"}).evaluate(arrays)
    assert set(seen) == {False}


# -- batches of an input


@pytest.mark.parametrize("value", [(X,), (X, Y, Y), ()])
def test_an_input_tuple_of_another_length_raises(line, value):
    for call in (
        lambda: line().train(lambda: value, steps=1),
        lambda: line().train(lambda: iter([value]), steps=1),
        lambda: line().evaluate(lambda: value),
        lambda: line().evaluate(lambda: iter([value])),
        lambda: line().predict(lambda: value),
    ):
        with pytest.raises(DataError, match=r"a tuple of . *"):
            call()


def test_a_short_last_evaluation_batch_keeps_its_size(line):
    rows = []

    def model_fn(model, features, labels, mode):
        rows.append(labels.shape[0])
        return line_fn(model, features, labels, mode)

    found = line(model_fn, eval_batch_size=10).evaluate(arrays)
    assert sorted(set(rows)) == [4, 10]
    assert found["mse"] == pytest.approx(np.mean(Y.astype(np.float64) ** 2), rel=1e-6)


def test_with_a_mask_the_last_batch_is_padded_to_the_batch_size(line):
    shapes = []

    def model_fn(model, features, labels, mode, mask):
        shapes.append((labels.shape, mask.shape, mask.dtype))
        spec = line_fn(model, features, labels, mode)
        losses = (model(features["x"]) - labels) ** 2
        return spec._replace(loss=(losses * mask).sum() / mask.sum())

    found = line(model_fn, eval_batch_size=10).evaluate(arrays)
    assert set(shapes) == {((10,), (10,), np.dtype(bool))}
    expected = np.mean(Y.astype(np.float64) ** 2)
    assert found["loss"] == pytest.approx(expected, rel=1e-6)
    assert found["mse"] == pytest.approx(expected, rel=1e-6)


# -- train


@pytest.mark.parametrize(
    ("given", "step"), [(1.5, 2), (3.0, 3), (np.int64(2), 2), (np.float32(0.5), 1)]
)
def test_a_fraction_of_a_step_is_rounded_up(line, given, step):
    assert line().train(arrays, steps=given).latest_step() == step
    estimator = line(model_dir=None)
    assert estimator.train(arrays, max_steps=given).latest_step() == step
    estimator.close()


def test_with_max_steps_reached_no_function_is_called(line):
    def never(*_, **__):
        raise AssertionError("called")

    line().train(arrays, max_steps=3).close()

    def model_fn(model, features, labels, mode):
        never()

    again = line(model_fn)
    for steps in (3, 2):
        assert again.train(never, max_steps=steps) is again
    assert again.latest_step() == 3


def test_without_a_limit_training_goes_to_the_end_of_the_data(line):
    def three_batches():
        for start in (0, 8, 16):
            yield {"x": X[start : start + 8]}, Y[start : start + 8]

    for limit in ({}, {"steps": 100}, {"max_steps": 100}):
        estimator = line(model_dir=None)
        message = (
            pytest.warns(SpecflowWarning, match="the input ended after 3 of 100 steps")
            if limit
            else contextlib.nullcontext()
        )
        with message:
            assert estimator.train(three_batches, **limit).latest_step() == 3
        estimator.close()


def test_training_resumes_state_and_input_from_the_newest_checkpoint(line):
    """4 + 4 steps are 8; with resume_input="restart", as in the reference, they are
    steps 0 to 3 twice, over three batches that repeat."""
    for config, steps in (
        (IN_ORDER, range(8)),
        (IN_ORDER.replace(resume_input="restart"), [*range(4), *range(4)]),
    ):
        estimator = line(model_dir=None, config=config)
        estimator.train(arrays, steps=4).train(arrays, steps=4)
        # Sums of eight float32 products, eight steps.
        np.testing.assert_allclose(weights(estimator), descended(steps)[0], rtol=1e-5)
        assert estimator.latest_step() == 8
        estimator.close()


def test_training_resumes_the_optimizer_state(line):
    def model_fn(model, features, labels, mode):
        spec = line_fn(model, features, labels, mode)
        return spec._replace(train_op=optax.sgd(0.1, momentum=0.9))

    pieces, whole = (line(model_fn, model_dir=None, config=IN_ORDER) for _ in range(2))
    pieces.train(arrays, steps=2).train(arrays, steps=2)
    whole.train(arrays, steps=4)
    assert np.array_equal(weights(pieces), weights(whole))
    pieces.close()
    whole.close()


def test_the_loss_of_a_step_precedes_its_update(line):
    losses = Losses()
    line(config=IN_ORDER).train(arrays, steps=4, hooks=[losses]).close()
    expected = dict(zip(range(1, 5), descended(range(4))[1], strict=True))
    assert losses.seen == pytest.approx(expected, rel=1e-5)


def test_train_returns_the_estimator(line):
    estimator = line()
    assert estimator.train(arrays, steps=1) is estimator
    estimator.close()


@pytest.mark.parametrize(
    ("every", "calls", "saves"),
    [
        (5, (4, 6), [[0, 4], [4, 9, 10]]),
        (3, (6,), [[0, 3, 6]]),
        (100, (2, 2), [[0, 2], [2, 4]]),
        (1, (2,), [[0, 1, 2]]),
    ],
)
def test_each_call_saves_at_its_start_every_n_steps_and_at_its_end(
    line, every, calls, saves
):
    class Listener:
        def __init__(self):
            self.saved = []

        def after_save(self, step):
            self.saved.append(step)

    seen = []
    for steps in calls:
        listener = Listener()
        config = sf.RunConfig(save_checkpoints_steps=every)
        estimator = line(config=config)
        estimator.train(arrays, steps=steps, saving_listeners=[listener]).close()
        seen.append(listener.saved)
    assert seen == saves


def test_without_checkpoints_the_next_call_starts_at_0(line):
    losses = Losses()
    estimator = line(config=IN_ORDER.replace(save_checkpoints_steps=None))
    estimator.train(arrays, steps=2)
    estimator.train(arrays, steps=1, hooks=[losses])
    assert losses.seen == pytest.approx({1: np.mean(Y[:8].astype(np.float64) ** 2)})
    assert not list((estimator.model_dir / "checkpoints").glob("*"))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_raises_before_saving(line, bad):
    def spoiled():
        for step in range(6):
            yield {"x": X[:8]}, np.full(8, bad if step == 3 else 1.0, np.float32)

    config = sf.RunConfig(save_checkpoints_steps=1)
    estimator = line(config=config)
    with pytest.raises(NanLossDuringTrainingError) as error:
        estimator.train(spoiled)
    assert isinstance(error.value, RuntimeError)
    assert estimator.checkpoints.steps() == [0, 1, 2, 3]
    estimator.close()


# -- errors


def test_an_error_in_a_step_saves_nothing_and_the_next_call_resumes(line):
    class Broken:
        def before_step(self, step):
            if step == 5:
                raise OSError("the disk is gone")

    config = IN_ORDER.replace(save_checkpoints_steps=2)
    with pytest.raises(OSError, match="the disk is gone"):
        line(config=config).train(arrays, steps=9, hooks=[Broken()])
    again = line(config=config)
    assert again.latest_step() == 4
    again.train(arrays, max_steps=9)
    np.testing.assert_allclose(weights(again), descended(range(9))[0], rtol=1e-5)
    again.close()


def test_an_error_of_the_input_is_raised(line):
    class UnavailableError(RuntimeError):
        pass

    def fails():
        raise UnavailableError("for a moment")

    def fails_later():
        yield {"x": X[:8]}, Y[:8]
        raise UnavailableError("for a moment")

    for input_fn in (fails, fails_later):
        estimator = line(model_dir=None)
        for call in (
            lambda: estimator.train(input_fn),  # noqa: B023
            lambda: estimator.evaluate(input_fn),  # noqa: B023
            lambda: list(estimator.predict(input_fn)),  # noqa: B023
        ):
            with pytest.raises(UnavailableError, match="for a moment"):
                call()


@pytest.mark.parametrize("returned", [None, 3.0, {"loss": 1.0}, "spec"])
def test_a_model_function_that_returns_no_spec_raises_a_value_error(line, returned):
    def model_fn(model, features, labels, mode):
        return returned

    for call in (
        lambda: line(model_fn).train(arrays, steps=1),
        lambda: line(model_fn).evaluate(arrays),
        lambda: line(model_fn).predict(arrays),
    ):
        with pytest.raises(ValueError, match="Expected a TPUEstimatorSpec"):
            call()


def test_steps_and_max_steps_exclude_each_other(line):
    with pytest.raises(ConfigError, match="got steps and max_steps"):
        line().train(arrays, steps=1, max_steps=1)
