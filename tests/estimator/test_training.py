"""Training: parameter updates, the end of a call, metrics, hooks and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.diagnostics.errors import (
    ConfigError,
    NanLossDuringTrainingError,
    SpecflowWarning,
)
from specflow.loop import StopTraining
from specflow.metrics import Mean


def spec_of(mode, loss, train_op):
    return sf.TPUEstimatorSpec(mode, {}, loss, train_op)


# -- forms of a train_op


class TwoParts(nnx.Module):
    def __init__(self, rngs):
        self.body = nnx.Linear(3, 4, rngs=rngs)
        self.head = nnx.Linear(4, 1, rngs=rngs)

    def __call__(self, x):
        return self.head(nnx.relu(self.body(x)))[:, 0]


def test_only_parameters_selected_by_wrt_are_trained(line, rows):
    def model_fn(model, features, labels, mode):
        loss = ((model(features["x"]) - labels) ** 2).mean()
        train_op = sf.TrainOp(optax.adamw(0.1, weight_decay=0.1), wrt=["head.**"])
        return spec_of(mode, loss, train_op)

    estimator = line(model_fn, model=TwoParts)
    estimator.train(rows, steps=1)
    start = estimator.program.init_state(0, *estimator._batch)
    estimator.train(rows, steps=4)
    state = estimator._states.state
    moved = {
        path
        for path, array in state.params.items()
        if not np.array_equal(array, start.params[path])
    }
    assert moved == {"head.kernel", "head.bias"}  # Weight decay included.
    held = {path.split(".")[0] for path in parameters_in(state.opt_state)}
    assert held == {"head"}  # No moments are kept of what does not train.
    estimator.close()


def parameters_in(opt_state):
    for path, _ in jax.tree_util.tree_leaves_with_path(opt_state):
        if isinstance(path[-1], jax.tree_util.DictKey):
            yield path[-1].key


def test_a_wrt_that_selects_nothing_raises(line, rows):
    def model_fn(model, features, labels, mode):
        loss = ((model(features["x"]) - labels) ** 2).mean()
        return spec_of(mode, loss, sf.TrainOp(optax.sgd(0.1), wrt=["haed.**", "b"]))

    with pytest.raises(sf.SpecError) as error:
        line(model_fn, model=TwoParts).train(rows, steps=1)
    assert str(error.value) == (
        "train_op.wrt: haed.**, b matches no parameter. Expected globs over "
        "body.bias, body.kernel, head.bias, head.kernel."
    )


def test_a_frozen_glob_that_matches_nothing_raises(line, rows):
    """It would train what it was meant to keep."""

    def model_fn(model, features, labels, mode):
        loss = ((model(features["x"]) - labels) ** 2).mean()
        frozen = ["body.**", "haed.bias"]
        return spec_of(mode, loss, sf.TrainOp(optax.sgd(0.1), frozen=frozen))

    with pytest.raises(sf.SpecError) as error:
        line(model_fn, model=TwoParts).train(rows, steps=1)
    assert str(error.value) == (
        "train_op.frozen: haed.bias matches no parameter. Expected globs over "
        "body.bias, body.kernel, head.bias, head.kernel."
    )


def test_sgd_follows_the_gradient_computed_with_numpy(line, rows):
    """w <- w - 0.1 * 2/b sum_i (x_i.w - y_i) x_i, in float64."""
    features, y = rows()
    x, w = features["x"].astype(np.float64), np.zeros(3)
    for step in range(3):
        part = slice(step * 8, step * 8 + 8)
        w -= 0.1 * 2 / 8 * x[part].T @ (x[part] @ w - y[part])
    estimator = line(config=sf.RunConfig(shuffle=False))
    estimator.train(rows, steps=3)
    # Sums of eight float32 products, three steps.
    np.testing.assert_allclose(estimator._states.state.params["w"], w, rtol=1e-5)
    estimator.close()


def test_a_train_op_function_may_return_any_state(line, rows):
    """Signs of the label sums, which no gradient of the loss would give."""

    def signs(state, batch):
        features, labels = batch
        direction = jnp.sign((features["x"] * labels[:, None]).sum(0))
        params = {"w": state.params["w"] + direction}
        return state._replace(params=params), {}

    def model_fn(model, features, labels, mode):
        return spec_of(mode, ((model(features["x"]) - labels) ** 2).mean(), signs)

    features, y = rows()
    products = features["x"] * y[:, None]
    expected = sum(np.sign(products[i : i + 8].sum(0)) for i in (0, 8, 16))
    estimator = line(model_fn, config=sf.RunConfig(shuffle=False))
    estimator.train(rows, steps=3)
    assert np.asarray(estimator._states.state.params["w"]).tolist() == expected.tolist()
    assert estimator.latest_step() == 3
    assert int(estimator._states.state.step) == 3
    estimator.close()


def test_a_train_op_function_without_a_state_raises_a_type_error(line, rows):
    def model_fn(model, features, labels, mode):
        return spec_of(mode, model(features["x"]).mean(), optax.sgd)

    with pytest.raises(TypeError) as error:
        line(model_fn).train(rows, steps=1)
    assert str(error.value) == (
        "train_op: is a function that returned GradientTransformationExtraArgs. "
        "Expected (state, metrics), the state being the updated TrainState. "
        "Call the optimizer's constructor: train_op=optax.sgd(0.1)."
    )


# -- the end of training


def test_steps_count_from_the_resumed_step_and_max_steps_from_0(line, rows):
    estimator = line()
    for arguments, step in [
        ({"steps": 2}, 2),
        ({"steps": 3}, 5),
        ({"max_steps": 6}, 6),
        ({"max_steps": 6}, 6),
        ({"max_steps": 4}, 6),
        ({"steps": 1}, 7),
    ]:
        assert estimator.train(rows, **arguments).latest_step() == step
    assert line().latest_step() == 7  # Another object on the same directory.
    estimator.close()


@pytest.mark.parametrize("name", ["steps", "max_steps"])
@pytest.mark.parametrize("value", [0, -1, -1.5, float("nan"), "3", True])
def test_steps_must_be_positive_integers(line, rows, name, value):
    with pytest.raises(ConfigError) as error:
        line().train(rows, **{name: value})
    assert str(error.value) == f"{name}: got {value!r}. Expected a positive integer."


def test_steps_and_max_steps_exclude_each_other(line, rows):
    with pytest.raises(ConfigError) as error:
        line().train(rows, steps=1, max_steps=2)
    assert str(error.value) == "train: got steps and max_steps. Expected one of them."


def test_with_nothing_left_to_train_the_newest_checkpoint_is_evaluated(line, rows):
    first = line()
    specs = sf.TrainSpec(rows, max_steps=4), sf.EvalSpec(rows)
    found, _ = first.train_and_evaluate(*specs)
    first.close()
    again = line()
    assert again.train_and_evaluate(*specs)[0] == found
    assert found["global_step"] == 4
    assert again.program.tracer.traces[sf.Mode.TRAIN] <= 1
    again.close()


def test_data_that_ends_early_is_evaluated_where_it_ended(line, rows):
    features, y = rows()

    def two_batches():
        for start in (0, 8):
            yield {"x": features["x"][start : start + 8]}, y[start : start + 8]

    estimator = line()
    with pytest.warns(SpecflowWarning, match="the input ended after 2 of 100 steps"):
        found, _ = estimator.train_and_evaluate(
            sf.TrainSpec(two_batches, max_steps=100), sf.EvalSpec(rows)
        )
    assert found["global_step"] == 2
    estimator.close()


def test_evaluation_during_training_uses_the_state_of_its_step(line, rows):
    """Evaluations while training equal those of the checkpoints of the same steps."""
    reports = []
    estimator = line(config=sf.RunConfig(save_checkpoints_steps=2))
    estimator.train_and_evaluate(
        sf.TrainSpec(rows, max_steps=7),
        sf.EvalSpec(rows, every_steps=2),
        report=lambda *row: reports.append(row),
    )
    held = {step: metrics for step, split, metrics in reports if split == "eval"}
    assert list(held) == [2, 4, 6, 7]
    for step in (4, 6, 7):
        found = line().evaluate(rows, checkpoint_step=step)
        assert found == {**held[step], "global_step": step}
    estimator.close()


# -- NaN and infinity


@pytest.mark.parametrize(("bad", "shown"), [(np.nan, "nan"), (np.inf, "inf")])
def test_a_loss_that_is_not_finite_raises_before_a_checkpoint(line, rows, bad, shown):
    """The seventh batch is bad; checkpoints are due at 0, 2, 4, 6 and 8."""
    features, y = rows()

    def batches():
        for step in range(10):
            labels = np.full(8, bad, np.float32) if step == 6 else y[:8]
            yield {"x": features["x"][:8]}, labels

    config = sf.RunConfig(
        save_checkpoints_steps=2, tpu_config=sf.TPUConfig(iterations_per_loop=4)
    )
    estimator = line(config=config)
    with pytest.raises(NanLossDuringTrainingError) as error:
        estimator.train(batches, steps=10)
    assert str(error.value) == (
        f"step 7: the loss, or a parameter after the update, is {shown}. "
        "Expected finite numbers. No checkpoint was "
        "written of it. Lower optimizer.lr, set optimizer.clip_norm, or look at the "
        "rows of that step. The newest one is of step 6. Those rows: "
        "estimator.rows_of_step(source, 7)."
    )
    assert estimator.checkpoints.steps() == [0, 2, 4, 6]
    assert np.isfinite(estimator.evaluate(rows)["loss"])
    assert estimator.evaluate(rows)["global_step"] == 6
    estimator.close()


def test_a_parameter_that_is_not_finite_raises_though_its_loss_is_finite(tmp_path):
    """The gradient of sqrt at 0 is infinite, and 0 times that is NaN; the loss is 0."""

    class Root(nnx.Module):
        def __init__(self, *, rngs):
            self.w = nnx.Param(jnp.ones(()))

    def model_fn(model, features, mode):
        zero = (model.w[...] * 0.0) ** 2 * features["x"].sum()
        return sf.TPUEstimatorSpec(mode, loss=jnp.sqrt(zero), train_op=optax.sgd(0.1))

    estimator = sf.Estimator(
        model_fn,
        model=lambda rngs: Root(rngs=rngs),
        model_dir=tmp_path,
        train_batch_size=8,
    )
    with pytest.raises(NanLossDuringTrainingError, match=r"step 1: .* is nan"):
        estimator.train(lambda: {"x": np.ones((8, 1), np.float32)}, steps=1)
    assert estimator.checkpoints.steps() == [0]


# -- metrics of evaluate


def test_loss_is_the_mean_over_examples_and_the_step_is_always_there(line, rows):
    estimator = line(eval_batch_size=7)
    found = estimator.evaluate(rows)
    assert list(found) == ["loss", "mse", "global_step"]
    # w is 0, so the loss is the mean square of the labels: NumPy, in float64.
    expected = (rows()[1].astype(np.float64) ** 2).mean()
    assert found["loss"] == pytest.approx(expected, rel=1e-6)
    assert found["mse"] == pytest.approx(expected, rel=1e-6)
    assert found["global_step"] == 0
    estimator.close()


def test_a_metric_may_be_a_pair_of_value_and_state(line, rows):
    def model_fn(model, features, labels, mode):
        losses = (model(features["x"]) - labels) ** 2

        def metric_fn(losses):
            return {"mse": (losses.mean(), Mean.from_batch(losses))}

        return sf.TPUEstimatorSpec(
            mode, loss=losses.mean(), eval_metrics=(metric_fn, [losses])
        )

    estimator = line(model_fn, eval_batch_size=7)
    found = estimator.evaluate(rows)
    assert found["mse"] == pytest.approx(found["loss"], rel=1e-6)
    estimator.close()


@pytest.mark.parametrize("name", ["loss", "global_step", "step", "split"])
def test_reserved_metric_names_raise(line, rows, name):
    def model_fn(model, features, labels, mode):
        losses = (model(features["x"]) - labels) ** 2
        pair = (lambda losses: {name: Mean.from_batch(losses)}, [losses])
        return sf.TPUEstimatorSpec(mode, loss=losses.mean(), eval_metrics=pair)

    with pytest.raises(sf.SpecError) as error:
        line(model_fn).evaluate(rows)
    assert str(error.value) == (
        f"eval_metrics['{name}']: the name is reserved: evaluation reports its own. "
        "Give the metric another name."
    )


# -- hooks


class Diary:
    def __init__(self, stop_at=None):
        self.entries, self.stop_at = [], stop_at

    def begin(self, step):
        self.entries.append(("begin", step))

    def before_step(self, step):
        self.entries.append(("before", step))

    def after_step(self, step, loss):
        assert np.isfinite(loss)
        self.entries.append(("after", step))
        if step == self.stop_at:
            raise StopTraining

    def end(self, step):
        self.entries.append(("end", step))


def test_hooks_are_called_around_each_device_loop_in_order(line, rows):
    config = sf.RunConfig(
        save_checkpoints_steps=5, tpu_config=sf.TPUConfig(iterations_per_loop=4)
    )
    diary = Diary()
    estimator = line(config=config)
    estimator.train(rows, steps=9, hooks=[diary])
    # Loops end at multiples of 4, where a checkpoint is due (5) and at the end.
    assert diary.entries == [
        ("begin", 0),
        *[("before", 0), ("after", 4)],
        *[("before", 4), ("after", 5)],
        *[("before", 5), ("after", 8)],
        *[("before", 8), ("after", 9)],
        ("end", 9),
    ]
    estimator.close()


def test_the_first_hook_is_called_first(line, rows):
    calls = []

    class Named:
        def __init__(self, name):
            self.name = name

        def end(self, step):
            calls.append(self.name)

    line().train(rows, steps=1, hooks=[Named("a"), Named("b")])
    assert calls == ["a", "b"]


def test_a_hook_may_stop_training_and_finished_steps_are_saved(line, rows):
    config = sf.RunConfig(tpu_config=sf.TPUConfig(iterations_per_loop=2))
    diary, estimator = Diary(stop_at=6), line(config=config)
    estimator.train(rows, steps=100, hooks=[diary])
    assert estimator.latest_step() == 6
    assert diary.entries[-2:] == [("after", 6), ("end", 6)]
    estimator.close()


def test_an_error_of_a_hook_is_raised(line, rows):
    class Broken:
        def after_step(self, step, loss):
            raise KeyError("mine")

    estimator = line(config=sf.RunConfig(save_checkpoints_steps=1))
    with pytest.raises(KeyError, match="mine"):
        estimator.train(rows, steps=5, hooks=[Broken()])
    estimator.close()


def test_should_stop_ends_training_with_a_checkpoint(line, rows):
    """Whoever asked is not kept waiting by an evaluation."""
    asked = []

    def should_stop():
        asked.append(1)
        return len(asked) >= 3

    config = sf.RunConfig(tpu_config=sf.TPUConfig(iterations_per_loop=2))
    estimator = line(config=config)
    found, _ = estimator.train_and_evaluate(
        sf.TrainSpec(rows, max_steps=100), sf.EvalSpec(rows), should_stop=should_stop
    )
    assert found == {"global_step": 6}
    assert estimator.latest_step() == 6
    assert estimator.program.tracer.traces[sf.Mode.EVAL] == 0
    estimator.close()


def test_training_on_arrays_needs_steps_or_max_steps(line, rows):
    with pytest.raises(sf.ConfigError) as caught:
        line().train(rows)
    assert str(caught.value) == (
        "train: neither steps nor max_steps is given, and arrays are repeated without "
        "end. Expected one of them."
    )
