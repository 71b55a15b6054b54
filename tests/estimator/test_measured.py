"""Gradient norm and learning rates of reported steps, against NumPy and optax.

The model is a line from w = 0 under squared error, so that the gradient of each step is
2 / b * X.T (X w - y), worked out here in float64.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.compose import compose
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.data import ArraySource
from specflow.estimator import Estimator
from specflow.estimator.loss_reports import Watcher
from specflow.executor import lowering, to_tree
from specflow.executor.optimizer_step import Optimizer
from specflow.executor.step_metrics import StepMetrics
from specflow.optimizer import with_learning_rate
from specflow.tf import optimizers
from specflow.tf.canned import Categorical, DNNLinearCombinedRegressor
from tests.estimator.conftest import Line, X, Y, line_fn, summaries

RATE, STEPS = 0.1, 6
WAVE = optax.linear_schedule(0.1, 0.02, 4)


def norms(steps=STEPS, *, rate=RATE, rows=8, frozen=()):
    """The norm of the gradient of each step of plain SGD, by hand."""
    w, found = np.zeros(3), []
    for step in range(steps):
        at = slice(step * rows % 24, step * rows % 24 + rows)
        x, y = X[at].astype(float), Y[at].astype(float)
        gradient = 2 / rows * x.T @ (x @ w - y)
        found.append(np.sqrt((gradient**2).sum()))
        w = w - rate * gradient
    return np.array(found)


def with_optimizer(optimizer, fn=line_fn):
    def model_fn(model, features, labels, mode):
        spec = fn(model, features, labels, mode)
        return spec if mode is sf.Mode.PREDICT else spec._replace(train_op=optimizer)

    return model_fn


def trained(make, model_fn=line_fn, *, steps=STEPS, every=1, data=None, **arguments):
    """The rows of training by step, and the estimator."""
    tpu_config = sf.TPUConfig(**arguments.pop("tpu_config", {}))
    config = sf.RunConfig(
        log_step_count_steps=every,
        save_summary_steps=arguments.pop("summaries", 0),
        shuffle=False,
        tpu_config=tpu_config,
    )
    estimator, rows = make(model_fn, config=config, **arguments), {}
    estimator.train_and_evaluate(
        sf.TrainSpec(data or (lambda: ({"x": X}, Y)), max_steps=steps),
        sf.EvalSpec(lambda: ({"x": X}, Y), every_steps=0),
        report=lambda step, split, row: (
            rows.update({step: row}) if split == "train" else None
        ),
    )
    return rows, estimator


def column(rows, name):
    return np.array([rows[step][name] for step in sorted(rows)])


# -- gradient norm


@pytest.mark.parametrize(
    ("devices", "tpu_config"),
    [
        (1, {"iterations_per_loop": 4}),
        (1, {"micro_steps": 2}),
        (1, {"loss_scale": 1024.0}),
        (1, {"loss_scale": "dynamic", "micro_steps": 4}),
        (8, {"iterations_per_loop": 3}),
        (8, {"loss_scale": 2.0**90}),
    ],
)
def test_the_norm_is_that_of_the_global_gradient(line, devices, tpu_config):
    """Also where its square, with the scale of the loss, is beyond float32."""
    mesh = MeshConfig(axes=AxesConfig(data=devices))
    rows, _ = trained(line, mesh=mesh, tpu_config=tpu_config)
    np.testing.assert_allclose(column(rows, "gradient_norm"), norms(), rtol=1e-5)


def test_the_norm_is_taken_before_clipping(line):
    clipped = optax.chain(optax.clip_by_global_norm(1e-6), optax.sgd(RATE))
    rows, _ = trained(line, with_optimizer(clipped))
    w0 = norms(3, rate=0.0)  # The parameters hardly move.
    np.testing.assert_allclose(column(rows, "gradient_norm"), [*w0, *w0], rtol=1e-5)


class Two(Line):
    """x -> x . w + 1000 x . big"""

    def __init__(self, rngs=None):
        super().__init__(rngs)
        self.big = nnx.Param(jnp.zeros(3))

    def __call__(self, x):
        return super().__call__(x) + 1000 * x @ self.big[...]


def test_the_norm_is_over_the_parameters_that_train(line):
    op = sf.TrainOp(optax.sgd(RATE), frozen=["big"])
    rows, _ = trained(line, with_optimizer(op), model=Two)
    np.testing.assert_allclose(column(rows, "gradient_norm"), norms(), rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_gradients_of_16_bits_are_squared_in_float32(dtype):
    """256**2 is beyond float16, and 2e-4**2 below it: NumPy, in float64."""
    gradients = {"a": jnp.full((64, 4), 256, dtype), "b": jnp.full(9, 2e-4, dtype)}
    optimizer = Optimizer(optax.sgd(1.0), gradients)
    state = optimizer.init(gradients)
    metrics = optimizer.step_metrics(gradients, state, state, jnp.array(0))
    values = np.concatenate([np.asarray(g, float).ravel() for g in gradients.values()])
    assert metrics.names == ("gradient_norm",)
    np.testing.assert_allclose(metrics.values, [np.sqrt((values**2).sum())], rtol=1e-6)


def distance_fn(model, features, labels, mode):
    """A loss whose derivative at rows of zeros is not a number."""
    value = model(features["x"]) + features["x"].sum(-1)
    return sf.TPUEstimatorSpec(
        mode, {"value": value}, jnp.sqrt((value**2).sum()), optax.sgd(RATE)
    )


def test_a_skipped_step_has_no_finite_norm_and_the_schedule_waits(line):
    """Optax counts the steps that are taken."""
    rows, _ = trained(
        line,
        with_optimizer(with_learning_rate(optax.adam(WAVE), WAVE), distance_fn),
        data=lambda: [({"x": X[:8] * (step != 3)}, Y[:8]) for step in range(1, 7)],
        tpu_config={"loss_scale": "dynamic"},
    )
    assert column(rows, "skipped_steps").tolist() == [0, 0, 1, 1, 1, 1]
    finite = np.isfinite(column(rows, "gradient_norm")).tolist()
    assert finite == [True, True, False, True, True, True]
    expected = [float(WAVE(count)) for count in (0, 1, 2, 2, 3, 4)]
    np.testing.assert_allclose(column(rows, "learning_rate"), expected, rtol=1e-6)


# -- which steps


@pytest.mark.parametrize("iterations_per_loop", [1, 4, 50])
@pytest.mark.parametrize("on_cpu", [True, False])
def test_a_row_has_the_numbers_of_its_own_step(
    line, tmp_path, monkeypatch, iterations_per_loop, on_cpu
):
    """Whatever the device loops; where not on CPU, every step is measured."""
    monkeypatch.setattr(lowering, "is_on_cpu", lambda mesh: on_cpu)
    optimizer = with_learning_rate(optax.sgd(RATE), WAVE)
    rows, estimator = trained(
        line,
        with_optimizer(optimizer),
        steps=11,
        every=3,
        summaries=4,
        tpu_config={"iterations_per_loop": iterations_per_loop},
    )
    hand = norms(11)
    assert list(rows) == [3, 6, 9]
    np.testing.assert_allclose(
        column(rows, "gradient_norm"), hand[[2, 5, 8]], rtol=1e-5
    )
    curves = summaries(estimator.model_dir)
    assert {step for tag, step in curves if tag.startswith("train/")} == {1, 5, 9}
    for step in (1, 5, 9):
        np.testing.assert_allclose(
            curves["train/gradient_norm", step], hand[step - 1], rtol=1e-5
        )


def test_a_resumed_run_continues_the_schedule(line):
    """The rate of step s is schedule(s - 1), also behind a checkpoint."""
    optimizer = with_learning_rate(optax.sgd(WAVE), WAVE)
    first, _ = trained(line, with_optimizer(optimizer), steps=2)
    second, _ = trained(line, with_optimizer(optimizer), steps=5)
    rows = first | second
    assert list(second) == [3, 4, 5]
    expected = [float(WAVE(step - 1)) for step in range(1, 6)]
    np.testing.assert_allclose(column(rows, "learning_rate"), expected, rtol=1e-6)


# -- learning rates


def test_injected_rates_are_those_of_the_update(line):
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=WAVE)
    rows, _ = trained(line, with_optimizer(optimizer))
    expected = [float(WAVE(step)) for step in range(STEPS)]
    np.testing.assert_allclose(column(rows, "learning_rate"), expected, rtol=1e-6)


def test_injected_rates_of_parts_go_by_their_names(line):
    inject = optax.inject_hyperparams(optax.sgd)
    optimizer = optax.partition(
        {"slow": inject(1e-6), "fast": inject(WAVE)}, {"w": "fast", "big": "slow"}
    )
    rows, _ = trained(line, with_optimizer(optimizer), model=Two, steps=3)
    expected = [float(WAVE(step)) for step in range(3)]
    np.testing.assert_allclose(column(rows, "learning_rate/fast"), expected, rtol=1e-6)
    np.testing.assert_allclose(column(rows, "learning_rate/slow"), 1e-6, rtol=1e-6)
    assert "learning_rate" not in rows[1]


def test_two_injected_rates_of_the_same_parameters_are_none():
    inject = optax.inject_hyperparams(optax.sgd)
    params = {"w": jnp.ones(2)}
    optimizer = Optimizer(optax.chain(inject(0.1), inject(0.2)), params)
    state = optimizer.init(params)
    found = optimizer.step_metrics(params, state, state, jnp.array(0))
    assert found.names == ("gradient_norm",)


def test_rules_of_tensorflow_know_their_rate(line):
    rows, _ = trained(line, with_optimizer(optimizers.momentum(WAVE)), steps=3)
    expected = [float(WAVE(step)) for step in range(3)]
    np.testing.assert_allclose(column(rows, "learning_rate"), expected, rtol=1e-6)


def test_the_rate_of_an_opaque_transformation_is_left_out(line):
    """Optax keeps it in a closure."""
    rows, _ = trained(line, steps=2)
    assert list(rows[2]) == ["loss", "gradient_norm", "epoch"]


def test_a_train_op_that_is_a_function_has_the_gradients_to_itself(line):
    rows, _ = trained(line, with_optimizer(lambda state, batch: (state, {})), steps=2)
    assert list(rows[2]) == ["loss", "epoch"]


def test_canned_estimators_report_the_rate_of_each_part():
    """The default rates of `DNNLinearCombinedRegressor`: its documentation."""
    features = {"size": X[:8, 0], "colour": np.arange(8) % 2}
    seen = []
    estimator = DNNLinearCombinedRegressor(
        [4],
        categorical={"colour": Categorical(2)},
        linear_features=["colour"],
        train_batch_size=8,
        mesh=MeshConfig(axes=AxesConfig()),
        config=sf.RunConfig(log_step_count_steps=1, save_summary_steps=0),
    )
    estimator.train_and_evaluate(
        sf.TrainSpec(lambda: (features, Y[:8, None]), max_steps=1),
        sf.EvalSpec(lambda: (features, Y[:8, None]), every_steps=0),
        report=lambda *row: seen.append(row),
    )
    (row,) = [row for _, split, row in seen if split == "train"]
    assert row["learning_rate/linear"] == pytest.approx(0.2)
    assert row["learning_rate/dnn"] == pytest.approx(0.05)


# -- nothing changes by it


CLIPPED, MICRO = ["optimizer.clip_norm=0.5"], ["loop.micro_steps=2"]
SCALED = ["loop.loss_scale=dynamic"]


@pytest.mark.parametrize(
    ("mesh", "words", "on_cpu"),
    [
        ("single", CLIPPED, True),
        ("fsdp", CLIPPED, False),
        pytest.param("single", MICRO, False, marks=pytest.mark.thorough),
        pytest.param("data", SCALED, True, marks=pytest.mark.thorough),
        pytest.param("single", CLIPPED, False, marks=pytest.mark.thorough),
        pytest.param("single", MICRO, True, marks=pytest.mark.thorough),
        pytest.param("data", SCALED, False, marks=pytest.mark.thorough),
        pytest.param("fsdp", CLIPPED, True, marks=pytest.mark.thorough),
    ],
)
def test_parameters_are_bitwise_those_of_steps_that_are_not_measured(
    monkeypatch, mesh, words, on_cpu
):
    monkeypatch.setattr(lowering, "is_on_cpu", lambda mesh: on_cpu)
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        states = [_state_of(mesh, words)]
        for name in ("step_metrics", "abstract_step_metrics"):
            monkeypatch.setattr(Optimizer, name, lambda *_, **__: StepMetrics((), ()))
        states.append(_state_of(mesh, words))
    finally:
        jax.config.update("jax_disable_most_optimizations", True)
    for one, other in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_array_equal(one, other)


def _state_of(mesh, words):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(64, 8, 8, 1)).astype(np.float32)
    data = ArraySource({"image": images}, rng.integers(0, 10, 64))
    config = compose(
        ["experiment=digits_mlp", f"mesh={mesh}", "loop.batch_size=64",
         "model.hidden=[64]", "loop.log_every=4", *words]
    ).config  # fmt: skip
    estimator = Estimator.from_config(config, model_dir=None)
    estimator.train(lambda: data, max_steps=9)
    return jax.tree.map(np.asarray, to_tree(estimator._states.state))


def test_rows_of_steps_that_are_taken_are_reported_although_a_report_fails():
    """A resumed run does not take them again."""
    seen = []

    def report(step, split, metrics):
        seen.append(step)
        if step == 2:
            raise OSError("the disk is full")

    watcher = Watcher(sf.RunConfig(log_step_count_steps=2), rows=4, report=report)
    with pytest.raises(OSError, match="the disk is full"):
        watcher(np.arange(1, 8), np.ones(7))
    assert seen == [2, 4, 6]
