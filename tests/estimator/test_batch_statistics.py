"""Batch statistics beside averaged and frozen weights, against NumPy in float64."""

import itertools

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

import specflow as sf
from specflow.commands.check import check
from specflow.compose import compose
from specflow.config.run_config import TPUConfig
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.diagnostics.errors import CheckpointError, ConfigError
from specflow.executor.optimizer_step import Optimizer
from specflow.optimizer import averaged, track_average
from tests.estimator.conftest import X, Y, arrays, line_fn

DECAY, RATE, MOMENTUM, EPS, SIZE = 0.5, 0.1, 0.9, 1e-5, 8


class Normed(nnx.Module):
    """x -> norm(x) . w"""

    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(3, momentum=MOMENTUM, epsilon=EPS, rngs=rngs)
        self.w = nnx.Param(jnp.full(3, 0.5))
        self.calls = nnx.Variable(jnp.zeros((), jnp.int32))

    def __call__(self, x):
        self.calls[...] += 1
        return self.norm(x) @ self.w[...]


class LinenNormed(linen.Module):
    train: bool = False

    @linen.compact
    def __call__(self, x, train):
        norm = linen.BatchNorm(momentum=MOMENTUM, epsilon=EPS, name="norm")
        w = self.param("w", lambda _: jnp.full(3, 0.5))
        return norm(x, use_running_average=not train) @ w


def linen_fn(model, features, labels, mode):
    return line_fn(
        lambda x: model(x, mode is sf.Mode.TRAIN), features, labels, mode
    )  # fmt: skip


def averaging(fn, *, wrt=("**",), around=lambda optimizer: optimizer, warm_up=False):
    def model_fn(model, features, labels, mode):
        spec = fn(model, features, labels, mode)
        if mode is sf.Mode.PREDICT:
            return spec
        average = track_average(DECAY, warm_up=warm_up)
        optimizer = around(optax.chain(optax.sgd(RATE), average))
        return spec._replace(train_op=sf.TrainOp(optimizer, wrt=wrt))

    return model_fn


def normalized(x, values):
    centred = (x - values["mean"]) / np.sqrt(values["var"] + EPS)
    return centred, centred * values["scale"] + values["bias"]


def error(values):
    """Mean squared error of an evaluation with these values."""
    return float(((normalized(X, values)[1] @ values["w"] - Y) ** 2).mean())


def by_hand(steps, *, micro_steps=1, warm_up=False):
    """Live and averaged values after each step, in float64."""
    live = {
        "scale": np.ones(3), "bias": np.zeros(3), "w": np.full(3, 0.5),
        "mean": np.zeros(3), "var": np.ones(3),
    }  # fmt: skip
    average, found = dict(live), []
    for step in range(steps):
        rows = np.arange(step * SIZE, (step + 1) * SIZE) % len(X)
        gradient = dict.fromkeys(("scale", "bias", "w"), 0.0)
        for part in range(micro_steps):
            x, y = X[rows][part::micro_steps].astype(np.float64), Y[rows]
            own = {**live, "mean": x.mean(0), "var": x.var(0)}
            centred, z = normalized(x, own)
            slope = 2 * (z @ live["w"] - y[part::micro_steps]) / SIZE
            gradient["w"] += z.T @ slope
            gradient["bias"] += (inward := slope[:, None] * live["w"]).sum(0)
            gradient["scale"] += (inward * centred).sum(0)
            for name in ("mean", "var"):
                kept = MOMENTUM * live[name]
                live = {**live, name: kept + (1 - MOMENTUM) * own[name]}
        live = {**live, **{k: live[k] - RATE * g for k, g in gradient.items()}}
        decay = min(DECAY, (1 + step) / (10 + step)) if warm_up else DECAY
        average = {k: a + (1 - decay) * (live[k] - a) for k, a in average.items()}
        found.append((live, average))
    return found


IN_ORDER = sf.RunConfig(
    save_checkpoints_steps=2, keep_checkpoint_max=0, shuffle=False
)  # fmt: skip
MODELS = {
    "nnx": (line_fn, Normed, "norm.mean"),
    "linen": (linen_fn, LinenNormed(), "batch_stats.norm.mean"),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("micro_steps", [1, 2])
def test_evaluation_prediction_and_export_have_the_averages_of_statistics_too(
    line, tmp_path, kind, micro_steps
):
    fn, model, name = MODELS[kind]
    config = IN_ORDER.replace(tpu_config=TPUConfig(micro_steps=micro_steps))
    arguments = {"config": config, "model": model, "eval_params": averaged}
    estimator = line(averaging(fn), **arguments)
    seen = estimator.train_and_evaluate(
        sf.TrainSpec(arrays, 4), sf.EvalSpec(arrays, steps=None, throttle_secs=0)
    )[0]
    live, average = by_hand(4, micro_steps=micro_steps)[-1]
    assert error(average) != pytest.approx(error(live), rel=0.01)
    assert seen["mse"] == pytest.approx(error(average), rel=1e-5)
    assert estimator.evaluate(arrays)["mse"] == pytest.approx(error(average), rel=1e-5)
    expected = normalized(X, average)[1] @ average["w"]
    values = [row["value"] for row in estimator.predict(arrays)]
    np.testing.assert_allclose(values, expected, atol=1e-5)
    folder = estimator.export(tmp_path, features={"x": X[:3]}, platforms=("cpu",))
    answer = sf.load_export(folder)("serving_default", x=X)
    np.testing.assert_allclose(answer["value"], expected, atol=1e-5)
    # Training goes on with the live ones, and a new process finds both.
    state = estimator._states.state
    np.testing.assert_allclose(state.model_state[name], live["mean"], atol=1e-6)
    again = line(averaging(fn), **arguments)
    assert again.evaluate(arrays)["mse"] == pytest.approx(error(average), rel=1e-5)
    two = by_hand(2, micro_steps=micro_steps)[-1][1]
    earlier = again.evaluate(arrays, checkpoint_step=2)
    assert earlier["mse"] == pytest.approx(error(two), rel=1e-5)


def test_a_resumed_run_ends_with_the_same_bits_on_several_devices(line, tmp_path):
    mesh = MeshConfig(axes=AxesConfig(data=4, fsdp=2))
    common = {"config": IN_ORDER, "mesh": mesh, "model": Normed}
    common["eval_params"] = averaged
    once = line(averaging(line_fn), model_dir=tmp_path / "once", **common)
    once.train(arrays, steps=6)
    for steps in (2, 4):
        twice = line(averaging(line_fn), model_dir=tmp_path / "twice", **common)
        twice.train(arrays, steps=steps)
    found, expected = twice.checkpoints.arrays(), once.checkpoints.arrays()
    assert found.keys() == expected.keys()
    assert "opt_state/[1]/statistics/norm.var" in found
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    average = by_hand(6)[-1][1]
    assert once.evaluate(arrays)["mse"] == pytest.approx(error(average), rel=1e-5)


def test_smaller_decays_at_the_start_are_those_of_the_statistics_too(line):
    """By `as_estimator_spec()`: `use_tpu=False` goes through it."""
    arguments = {"config": IN_ORDER, "model": Normed, "eval_params": averaged}
    fn = averaging(line_fn, warm_up=True)
    estimator = line(fn, mesh=None, use_tpu=False, **arguments)
    estimator.train(arrays, steps=4)
    average = by_hand(4, warm_up=True)[-1][1]
    assert estimator.evaluate(arrays)["mse"] == pytest.approx(error(average), rel=1e-5)


def test_integers_are_taken_as_they_are(line):
    fn = averaging(line_fn)
    estimator = line(fn, config=IN_ORDER, model=Normed, eval_params=averaged)
    estimator.train(arrays, steps=4)
    assert int(estimator._states.to_evaluate()[1].model_state["calls"]) == 4
    names = {name for name in estimator.checkpoints.arrays() if "statistics" in name}
    assert names == {f"opt_state/[1]/statistics/norm.{one}" for one in ("mean", "var")}


def test_a_step_that_is_left_out_moves_no_average():
    params = {"norm.scale": jnp.ones(1)}
    model_state = {"norm.mean": jnp.zeros(1)}
    optimizer = Optimizer(
        optax.chain(optax.sgd(1.0), track_average(DECAY)),
        params,
        loss_scale="dynamic",
        statistics={"norm.mean": "norm"},
    )
    state, after = optimizer.init(params, model_state), {"norm.mean": jnp.ones(1)}
    for gradient, expected in ((jnp.inf, 0.0), (1.0, 0.5), (jnp.nan, 0.5), (1.0, 0.75)):
        given = {"norm.scale": jnp.full(1, gradient)}
        _, state = optimizer.update(given, state, params, after)
        assert state.inner[1].statistics["norm.mean"].tolist() == [expected]


def test_a_step_that_is_left_out_moves_no_statistic(line):
    """The gradient of the second batch is NaN, its loss is not: sqrt has no slope at 0.

    By hand: the running means of Flax over the other two batches.
    """

    def model_fn(model, features, labels, mode):
        spec = averaging(line_fn)(model, features, labels, mode)
        if mode is sf.Mode.PREDICT:
            return spec
        nothing = jnp.sqrt(1 - features["bad"].max() + 0 * model.w[...].sum())
        return spec._replace(loss=spec.loss + 0 * nothing)

    bad = np.repeat(np.array([0, 1, 0], np.float32), SIZE)
    config = IN_ORDER.replace(tpu_config=TPUConfig(loss_scale="dynamic"))
    estimator = line(model_fn, config=config, model=Normed, eval_params=averaged)
    estimator.train(lambda: ({"x": X, "bad": bad}, Y), steps=3)
    mean, average = np.zeros(3), np.zeros(3)
    for rows in (X[:SIZE], X[2 * SIZE :]):
        mean = MOMENTUM * mean + (1 - MOMENTUM) * rows.astype(np.float64).mean(0)
        average = average + (1 - DECAY) * (mean - average)
    state = estimator._states.state
    np.testing.assert_allclose(state.model_state["norm.mean"], mean, atol=1e-6)
    found = estimator._states.to_evaluate()[1].model_state["norm.mean"]
    np.testing.assert_allclose(found, average, atol=1e-6)
    assert int(state.model_state["calls"]) == 3


def test_several_updates_in_one_move_statistics_once(line):
    """optax.MultiSteps: the average sees every second step."""

    def every_second(optimizer):
        return optax.MultiSteps(optimizer, 2).gradient_transformation()

    fn = averaging(line_fn, around=every_second)
    estimator = line(fn, config=IN_ORDER, model=Normed, eval_params=averaged)
    estimator.train(arrays, steps=4)
    saved = {n: estimator.checkpoints.arrays(n)["state/norm.mean"] for n in (2, 4)}
    expected = np.zeros(3)
    for step in (2, 4):
        expected = expected + (1 - DECAY) * (saved[step].astype(np.float64) - expected)
    found = estimator._states.to_evaluate()[1].model_state["norm.mean"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_transformation_that_drops_extra_arguments_raises(line):
    def plain(optimizer):
        return optax.GradientTransformation(
            optimizer.init,
            lambda updates, state, params: optimizer.update(updates, state, params),
        )

    estimator = line(averaging(line_fn, around=plain), model=Normed)
    with pytest.raises(ConfigError) as caught:
        estimator.train(arrays, steps=1)
    assert str(caught.value) == (
        "track_average: is not given the model's batch statistics. Expected them, as "
        "the extra argument model_state. Let the transformation around it pass on "
        "**extra_args: see optax.GradientTransformationExtraArgs."
    )


def test_a_checkpoint_without_averages_raises(line):
    fn = line_fn
    line(fn, config=IN_ORDER, model=Normed).train(arrays, steps=2)
    estimator = line(averaging(fn), config=IN_ORDER, model=Normed, eval_params=averaged)
    with pytest.raises(CheckpointError, match="average"):
        estimator.train(arrays, steps=1)
    with pytest.raises(ConfigError, match="keeps no averages"):
        estimator.evaluate(arrays)


# -- frozen layers


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("wrt", ["w", "norm.scale"])
def test_batch_statistics_are_updated_if_a_parameter_of_their_layer_trains(
    line, kind, wrt
):
    fn, model, _ = MODELS[kind]
    estimator = line(averaging(fn, wrt=[wrt]), config=IN_ORDER, model=model)
    estimator.train(arrays, steps=4)
    before, after = (estimator.checkpoints.arrays(step) for step in (2, 4))
    names = [name for name in before if name.endswith((".mean", ".var"))]
    for name in names:
        moved = not np.array_equal(before[name], after[name])
        assert moved is (wrt != "w"), name
    assert names


@pytest.mark.parametrize("kind", MODELS)
def test_a_frozen_norm_normalizes_by_its_running_statistics(line, kind):
    """Keras: trainable = False lets BatchNormalization run as in inference.

    By hand: the running statistics are the initial ones, 0 and 1, so that this is the
    plain line of x / sqrt(1 + eps), from w = 0.5.
    """
    fn, model, _ = MODELS[kind]
    estimator = line(averaging(fn, wrt=["w"]), config=IN_ORDER, model=model)
    estimator.train(arrays, steps=4)
    w = np.full(3, 0.5)
    for step in range(4):
        rows = np.arange(step * SIZE, (step + 1) * SIZE) % len(X)
        x = X[rows].astype(np.float64) / np.sqrt(1 + EPS)
        w = w - RATE * 2 * ((x @ w - Y[rows])[:, None] * x).mean(0)
    np.testing.assert_allclose(estimator._states.state.params["w"], w, rtol=1e-5)
    names = estimator.checkpoints.arrays()
    assert not [name for name in names if "/statistics/" in name]


@pytest.mark.parametrize(
    ("frozen", "scale", "bias"),
    [*itertools.product(["block", "out"], [0, 1], [0, 1])],
)
def test_a_norm_without_parameters_goes_with_the_module_around_it(frozen, scale, bias):
    params = ["block.conv.kernel", "out.kernel"]
    params += ["block.norm.scale"] * scale + ["block.norm.bias"] * bias
    optimizer = Optimizer(
        sf.TrainOp(optax.sgd(1.0), frozen=[f"{frozen}.**"]),
        dict.fromkeys(params),
        statistics={"block.norm.mean": "block.norm"},
    )
    assert bool(optimizer.frozen_statistics) is (frozen == "block")


def test_check_lists_statistics_that_do_not_move(capsys):
    overrides = ["experiment=digits_mlp", "model.batch_norm=true"]
    frozen = "spec.train_op.frozen=[hidden.0.**,norms.0.**]"
    message = check(compose([*overrides, frozen]))
    assert message["frozen_statistics"] == ["norms.0.mean", "norms.0.var"]
    assert capsys.readouterr().out.splitlines()[-1] == (
        "frozen      2 batch statistics, as no parameter of their layers is trained: "
        "norms.0.mean, norms.0.var"
    )
    assert check(compose(overrides))["frozen_statistics"] == []
    assert "frozen" not in capsys.readouterr().out
