"""Selection of a state: checkpoint paths, averages and restarted inputs."""

import numpy as np
import optax
import pytest

import specflow as sf
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.diagnostics.errors import CheckpointError, ConfigError
from specflow.optimizer import averaged, track_average
from tests.estimator.conftest import X, Y, arrays, line_fn, summaries

EVERY_2 = sf.RunConfig(save_checkpoints_steps=2, keep_checkpoint_max=0)


def mse(w):
    return float(((X.astype(np.float64) @ w - Y) ** 2).mean())


def weights(estimator, **which):
    """The parameters that an evaluation would use."""
    return np.asarray(estimator._states.to_evaluate(**which)[1].params["w"])


# -- checkpoint_path


@pytest.fixture
def trained(line):
    estimator = line(config=EVERY_2)
    estimator.train(arrays, steps=6)
    return estimator


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("checkpoints/4", 4),
        ("4", 4),
        ("checkpoints", 6),
        ("", 6),
    ],
)
def test_checkpoint_path_selects_the_checkpoint(trained, path, step):
    where = trained.model_dir / path
    assert trained.evaluate(arrays, checkpoint_path=where)["global_step"] == step
    assert trained.evaluate(arrays, checkpoint_path=str(where))["global_step"] == step


def test_checkpoint_path_and_checkpoint_step_select_the_same_checkpoint(trained):
    path = trained.model_dir / "checkpoints/2"
    by_path = trained.evaluate(arrays, checkpoint_path=path)
    assert by_path == trained.evaluate(arrays, checkpoint_step=2)
    found = list(trained.predict(arrays, checkpoint_path=path))
    expected = list(trained.predict(arrays, checkpoint_step=2))
    np.testing.assert_equal(found, expected)


def test_checkpoint_path_may_be_in_another_model_dir(line, trained, tmp_path):
    other = line(model_dir=tmp_path / "other")
    before = other.evaluate(arrays)
    assert before["global_step"] == 0
    found = other.evaluate(arrays, checkpoint_path=trained.latest_checkpoint())
    assert found == trained.evaluate(arrays)


@pytest.mark.parametrize("path", ["nowhere", "checkpoints/3", "nowhere/4"])
def test_a_checkpoint_path_that_does_not_exist_raises_a_value_error(trained, path):
    where = trained.model_dir / path
    for look in (trained.evaluate, trained.predict):
        with pytest.raises(ValueError, match="does not exist") as caught:
            look(arrays, checkpoint_path=where)
        assert str(caught.value) == (
            f"{where}: does not exist. Expected a checkpoint, such as "
            "RUN/checkpoints/100, or a directory with checkpoints."
        )


def test_a_directory_without_checkpoints_is_none(trained, tmp_path):
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        trained.evaluate(arrays, checkpoint_path=tmp_path)


def test_a_path_and_a_step_exclude_each_other(trained):
    with pytest.raises(ConfigError, match="checkpoint_path: is given"):
        trained.evaluate(
            arrays, checkpoint_path=trained.latest_checkpoint(), checkpoint_step=2
        )


def test_export_takes_a_checkpoint_path(trained, tmp_path):
    path = trained.model_dir / "checkpoints/2"
    folder = trained.export(tmp_path, features={"x": X[:3]}, checkpoint_path=path)
    answer = sf.load_export(folder)("serving_default", x=X)
    expected = X.astype(np.float64) @ weights(trained, step=2)
    np.testing.assert_allclose(answer["value"], expected, atol=1e-5)


def test_the_newest_checkpoint_has_a_path(line, trained, tmp_path):
    assert trained.latest_checkpoint() == trained.model_dir / "checkpoints/6"
    assert line(model_dir=tmp_path / "new").latest_checkpoint() is None


# -- eval_params


def averaging_fn(model, features, labels, mode):
    """The line, with averages of decay 0.5."""
    spec = line_fn(model, features, labels, mode)
    if mode is sf.Mode.PREDICT:
        return spec
    return spec._replace(train_op=optax.chain(optax.sgd(0.1), track_average(0.5)))


def by_hand(steps, size=8):
    """Raw and averaged weights after each step, in float64."""
    raw, average, found = np.zeros(3), np.zeros(3), []
    for step in range(steps):
        rows = np.arange(step * size, (step + 1) * size) % len(X)
        x = X[rows].astype(np.float64)
        raw = raw - 0.1 * 2 * ((x @ raw - Y[rows])[:, None] * x).mean(0)
        average = average + 0.5 * (raw - average)
        found.append((raw, average))
    return found


IN_ORDER = EVERY_2.replace(shuffle=False)


@pytest.mark.parametrize("axes", [{}, {"data": 8}, {"fsdp": 8}], ids=str)
def test_evaluation_uses_averaged_parameters_and_training_its_own(line, axes):
    mesh = MeshConfig(axes=AxesConfig(**axes))
    arguments = {"config": IN_ORDER, "mesh": mesh, "eval_params": averaged}
    estimator = line(averaging_fn, **arguments)
    seen = estimator.train_and_evaluate(
        sf.TrainSpec(arrays, 4), sf.EvalSpec(arrays, steps=None, throttle_secs=0)
    )[0]
    raw, average = by_hand(4)[-1]
    assert seen["mse"] == pytest.approx(mse(average), rel=1e-5)
    assert estimator.evaluate(arrays)["mse"] == pytest.approx(mse(average), rel=1e-5)
    values = [row["value"] for row in estimator.predict(arrays)]
    np.testing.assert_allclose(values, X @ average, atol=1e-5)
    np.testing.assert_allclose(estimator._states.state.params["w"], raw, atol=1e-5)
    # A new process knows the averages from the checkpoint, and trains on with its own.
    again = line(averaging_fn, **arguments)
    assert again.evaluate(arrays)["mse"] == pytest.approx(mse(average), rel=1e-5)
    earlier = again.evaluate(arrays, checkpoint_step=2)
    assert earlier["mse"] == pytest.approx(mse(by_hand(2)[-1][1]), rel=1e-5)
    again.train(arrays, steps=1)
    np.testing.assert_allclose(
        again._states.state.params["w"], by_hand(5)[-1][0], atol=1e-5
    )


@pytest.mark.parametrize("given", ["init_fn", "warm_start_from"])
@pytest.mark.parametrize("axes", [{}, {"fsdp": 8}], ids=str)
def test_averages_begin_as_the_parameters_that_were_handed_in(
    line, tmp_path, given, axes
):
    """TF: shadow variables are "initialized to the variable's value"."""
    if given == "init_fn":
        arguments = {given: lambda params: {"w": params["w"] + 3.0}}
        start = np.full(3, 3.0)
    else:
        other = line(model_dir=tmp_path / "other", config=IN_ORDER)
        other.train(arrays, steps=3)
        arguments = {given: tmp_path / "other"}
        start = by_hand(3)[-1][0]
    mesh = MeshConfig(axes=AxesConfig(**axes))
    estimator = line(averaging_fn, eval_params=averaged, mesh=mesh, **arguments)
    estimator.train(arrays, steps=1)
    after = estimator.checkpoints.arrays(1)["params/w"].astype(np.float64)
    found = estimator._states.to_evaluate()[1].params["w"]
    np.testing.assert_allclose(found, start + 0.5 * (after - start), atol=1e-6)


def test_without_eval_params_the_parameters_are_evaluated(line):
    estimator = line(averaging_fn, config=IN_ORDER)
    estimator.train(arrays, steps=4)
    expected = mse(by_hand(4)[-1][0])
    assert estimator.evaluate(arrays)["mse"] == pytest.approx(expected, rel=1e-5)


def test_unknown_parameters_of_eval_params_raise(line):
    estimator = line(eval_params=lambda params, opt_state: {"v": params["w"]})
    estimator.train(arrays, steps=1)
    with pytest.raises(ConfigError) as caught:
        estimator.evaluate(arrays)
    assert str(caught.value) == "params: v is no parameter. Expected some of w."


# -- resume_input


@pytest.mark.parametrize("kind", ["arrays", "batches", "generator"])
def test_resume_input_restart_begins_the_input_anew_in_every_call(line, kind):
    """4 + 4 steps over three batches see batches 0 1 2 0 and again 0 1 2 0."""
    seen = []

    def model_fn(model, features, labels, mode):
        spec = line_fn(model, features, labels, mode)
        called = (lambda x: seen.append(int(x[0, 0])), [features["x"]])
        return spec._replace(host_call=called)

    numbered = np.repeat(np.arange(3, dtype=np.float32), 8)[:, None].repeat(3, 1)

    def batches():
        for number in [0, 1, 2] * 3:
            yield {"x": numbered[number * 8 :][:8]}, Y[:8]

    given = {
        "arrays": lambda: ({"x": numbered}, Y),
        "batches": lambda: list(batches()),
        "generator": batches,
    }[kind]
    config = IN_ORDER.replace(resume_input="restart")
    line(model_fn, config=config).train(given, steps=4).train(given, steps=4)
    assert seen == [0, 1, 2, 0, 0, 1, 2, 0]
    line(model_fn, config=config).train(given, steps=2)
    assert seen[8:] == [0, 1]


# -- nothing left to train


def test_with_max_steps_in_the_past_no_function_is_called(line):
    line(config=EVERY_2).train(arrays, steps=4)

    def never(*args, **kwargs):
        raise AssertionError("called")

    def never_fn(features, mode, model=None, labels=None):
        raise AssertionError("called")

    again = line(never_fn, config=EVERY_2)
    again.train(never, max_steps=4)
    again.train(never, max_steps=2)
    assert again.latest_step() == 4


# -- summaries


def test_summaries_of_the_loss_and_of_evaluations_are_written(line):
    estimator = line(config=EVERY_2.replace(save_summary_steps=2))
    estimator.train(arrays, steps=5)
    estimator.evaluate(arrays, name="held")

    losses = summaries(estimator.model_dir)
    assert losses.keys() == {
        (f"train/{name}", step)
        for name in ("loss", "gradient_norm")
        for step in (1, 3, 5)
    }
    held = summaries(estimator.model_dir / "eval_held")
    assert held.keys() == {("eval/loss", 5), ("eval/mse", 5)}


def test_summaries_can_be_switched_off(line):
    estimator = line(config=EVERY_2.replace(save_summary_steps=0))
    estimator.train(arrays, steps=3)
    estimator.evaluate(arrays)
    assert list(estimator.model_dir.rglob("events.*")) == []
