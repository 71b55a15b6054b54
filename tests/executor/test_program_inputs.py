"""Hyperparameters as inputs: bit for bit the program with constants, and one text.

The programs with constants are those of optax and JAX with Python numbers, so each is
the reference of its own config.
"""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxpr_as_fun

from specflow.compose import compose
from specflow.config.base import TARGET
from specflow.config.moved_numbers import moved_numbers, number_keys
from specflow.config.sections.optimizer import OptimizerConfig, ScheduleConfig
from specflow.config.sections.spec import LossConfig
from specflow.contract import Mode
from specflow.data import build_data
from specflow.diagnostics.errors import SpecflowError
from specflow.estimator import Estimator
from specflow.executor.executables import EXECUTABLES
from specflow.executor.hyperparameters import moved_by
from specflow.executor.lifted_jaxpr import lifted
from specflow.executor.moved_literals import moved_literals
from specflow.optimizer import build_optimizer

STEPS, TRAIN_STEPS = 75, 70
"""Past the end of every schedule, where joined constants show."""

OPTIMIZERS = [
    name
    for name in get_args(OptimizerConfig)[1].members
    if name not in (TARGET, "parts")
]
SCHEDULES = [name for name in get_args(ScheduleConfig)[1].members if name != TARGET]
LOSSES = [name for name in get_args(LossConfig)[1].members if name != TARGET]

CONSTANTS = {
    "adafactor": ["optimizer.decay_rate"],
    "noisy_sgd": ["optimizer.gamma"],
    "polynomial": ["optimizer.schedule.power"],
    "tf_ftrl": ["optimizer.lr_power"],
}
"""Exponents: other values are other programs."""

SCHEDULE = "optimizer.schedule={name: constant}"
FIELDS = {
    "constant": "warmup: 0.1",
    "cosine": "warmup: 0.1, final: 0.05",
    "linear": "warmup: 0.1, final: 0.05",
    "polynomial": "warmup: 0.1, final: 0.05, power: 1.5",
    "stable": "warmup: 0.1, final: 0.05, decay_share: 0.3",
    "exponential": "warmup: 0.1, every: 20, keep: 0.7",
    "inverse_sqrt": "warmup: 0.1",
    "piecewise": "warmup: 0.1, factors: {20: 0.5, 50: 0.1}",
}
"""Fields of each schedule; a new one has to be added."""


def arrays(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


PARAMS = {"kernel": arrays(0, 5, 7), "bias": arrays(1, 7)}
GRADIENTS = {"kernel": arrays(2, STEPS, 5, 7), "bias": arrays(3, STEPS, 7)}


def training(section, train_steps):
    """Trains with given gradients: parameters after each step, and the state."""
    optimizer = build_optimizer(section, train_steps=train_steps)

    def train(params, gradients):
        def step(carry, gradient):
            params, state = carry
            updates, state = optimizer.update(gradient, state, params)
            params = jax.tree.map(jnp.add, params, updates)
            return (params, state), params

        return jax.lax.scan(step, (params, optimizer.init(params)), gradients)

    return train


def bits(tree):
    """The bytes of all arrays."""
    raw = jax.tree.map(
        lambda array: (
            jax.random.key_data(array)
            if jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
            else array
        ),
        tree,
    )
    return [np.asarray(array).tobytes() for array in jax.tree.leaves(raw)]


def moved(config, keys):
    section, train_steps = config
    return (
        moved_numbers(section, "optimizer", keys),
        moved_numbers(train_steps, "train_steps", keys),
    )


LAST_BITS = ("adabelief", "adan")
"""Where XLA contracts a product and a sum in one of the two programs."""


def assert_same_bits(result, expected):
    assert bits(result) == bits(expected)


def assert_close(result, expected):
    """Up to four units in the last place of the largest number of an array."""
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(
            one, other, rtol=0, atol=4 * np.spacing(np.max(np.abs(other)))
        ),
        jax.tree.leaves(result),
        jax.tree.leaves(expected),
    )


def check_law(section, constants=(), compare=assert_same_bits):
    """One executable equals the programs with constants of two configs."""
    config = section, TRAIN_STEPS
    keys = [*number_keys(section, "optimizer", integers=True), "train_steps"]
    shared = tuple(key for key in keys if key not in constants)
    # Twice: other numbers than those that are compared.
    other = moved(moved(config, shared), shared)
    texts, values, jaxprs = [], [], []
    for each in (config, other):
        jaxpr = jax.make_jaxpr(training(*each))(PARAMS, GRADIENTS)

        def trace(keys, each=each):
            return jax.make_jaxpr(training(*moved(each, keys)))(PARAMS, GRADIENTS)

        program = lifted(jaxpr, moved_by(tuple(keys), jaxpr, trace))
        args = *jax.tree.leaves((PARAMS, GRADIENTS)), program.values
        lowered = jax.jit(jaxpr_as_fun(program.jaxpr)).lower(*args)
        texts.append(lowered.as_text())
        values.append(program.values)
        jaxprs.append(jaxpr)
        if each is config:
            executable, first = lowered.compile(), program
    assert texts[0] == texts[1]
    assert bits(values[0]) != bits(values[1])
    assert bits(first.inputs.values_with(moved_literals(*jaxprs))) == bits(values[1])
    for each, numbers in zip((config, other), values, strict=True):
        expected = jax.jit(training(*each))(PARAMS, GRADIENTS)
        result = executable(*jax.tree.leaves((PARAMS, GRADIENTS)), numbers)
        compare(result, expected)


def optimizer_section(*overrides):
    return compose(["experiment=digits_mlp", *overrides]).config.optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_with_inputs_equals_that_with_constants(name):
    try:
        section = optimizer_section(f"optimizer={name}", SCHEDULE)
    except SpecflowError:  # It has no schedule.
        section = compose(
            ["experiment=digits_mlp", f"optimizer={name}", "~optimizer.schedule"]
        ).config.optimizer
    compare = assert_close if name in LAST_BITS else assert_same_bits
    check_law(section, CONSTANTS.get(name, ()), compare)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_with_inputs_equals_that_with_constants(name):
    fields = FIELDS[name]
    section = optimizer_section(
        "optimizer=adamw", f"optimizer.schedule={{name: {name}, {fields}}}"
    )
    check_law(section, CONSTANTS.get(name, ()))


def test_clipping_and_moving_average_with_inputs_equal_those_with_constants():
    check_law(
        optimizer_section(
            SCHEDULE,
            "optimizer.clip_norm=1.5",
            "optimizer.clip_value=0.7",
            "optimizer.ema={decay: 0.99, warm_up: true}",
        )
    )


# -- programs of a run

SMALL = ("loop.iterations_per_loop=5", "optimizer.schedule.warmup=0.4")
EXPERIMENTS = {
    "softmax_cross_entropy": (
        "experiment=digits_mlp",
        "model.hidden=[8]",
        "spec.loss.cross_entropy.label_smoothing={smoothing}",
        "spec.loss.cross_entropy.weight={weight}",
        "model.dropout={dropout}",
    ),
    "sigmoid_cross_entropy": (
        "experiment=breast_cancer",
        "model.hidden=[8]",
        "spec.loss.cross_entropy.weight={weight}",
        "model.dropout={dropout}",
    ),
    "squared_error": (
        "experiment=diabetes",
        "spec.loss.squared_error.weight={weight}",
    ),
    "absolute_error": (
        "experiment=diabetes",
        "spec.loss.squared_error.name=absolute_error",
        "spec.loss.squared_error.weight={weight}",
    ),
    "huber": (
        "experiment=diabetes",
        "spec.loss.squared_error.name=huber",
        "+spec.loss.squared_error.delta={delta}",
        "spec.loss.squared_error.weight={weight}",
    ),
    "poisson": (
        "experiment=diabetes_counts",
        "spec.loss.poisson.weight={weight}",
    ),
}
"""Loss -> a small experiment with numbers of the model and of the loss; a new loss has
to be added."""
FIRST = {"smoothing": 0.1, "weight": 0.7, "dropout": 0.3, "delta": 1.3, "lr": 0.003}
OTHER = {"smoothing": 0.2, "weight": 0.9, "dropout": 0.2, "delta": 1.7, "lr": 0.007}


def estimator_of(overrides, numbers, directory, *, constants=False):
    filled = [override.format(**numbers) for override in overrides]
    filled.append(f"optimizer.lr={numbers['lr']}")
    config = compose([*filled, *SMALL]).config
    data = build_data(config.data)
    estimator = Estimator.from_config(config, data=data, model_dir=directory)
    if constants:
        estimator.program.tracer.hyperparameters = None
    return estimator, data


def results(estimator, data):
    """State after ten steps and losses of them, and the evaluation of a batch."""
    program = estimator.program
    form = estimator.batch_form(data.train, Mode.TRAIN)
    state = program.init_state(0, *form)
    batches = [*estimator._eval_batches(data.train, Mode.TRAIN, 5)]
    rows = jax.tree.leaves(form)[0].shape[0]
    stacked = jax.tree.map(
        lambda *arrays: np.stack(
            [np.resize(each, (rows, *each.shape[1:])) for each in arrays]
        ),
        *[(batch.features, batch.labels) for batch in batches],
    )
    losses = []
    for _ in range(2):
        state, loss, _ = program.train(state, *program.put(stacked, axis=1), 0, 5)
        losses.append(loss)
    batch = program.feed((batches[0].features, batches[0].labels, batches[0].mask))
    evaluated = program.evaluate(state, *batch)
    return bits((state.params, state.opt_state, losses, evaluated))


def check_programs(overrides, directory):
    texts, hits = [], EXECUTABLES.hits
    for numbers in (FIRST, OTHER):
        estimator, data = estimator_of(overrides, numbers, directory)
        result = results(estimator, data)
        texts.append(estimator.program.fingerprints())
        reference = estimator_of(overrides, numbers, directory, constants=True)
        assert result == results(*reference)
        assert reference[0].program.fingerprints()["train"] != texts[-1]["train"]
    assert texts[0] == texts[1]
    assert EXECUTABLES.hits >= hits + 2


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_with_inputs_equals_that_with_constants(name, tmp_path):
    check_programs(EXPERIMENTS[name], tmp_path)


@pytest.mark.parametrize(
    "axes", [pytest.param("data=8", marks=pytest.mark.thorough), "fsdp=8"]
)
def test_programs_of_eight_devices_with_inputs_equal_those_with_constants(
    axes, tmp_path
):
    overrides = (*EXPERIMENTS["softmax_cross_entropy"], f"mesh.axes.{axes}")
    check_programs(overrides, tmp_path)


def test_the_initial_state_has_the_numbers_of_its_own_config(tmp_path):
    accumulators = []
    for value in (0.2, 0.3):
        overrides = (
            "experiment=diabetes",
            "optimizer=adagrad",
            f"optimizer.initial_accumulator_value={value}",
        )
        estimator, data = estimator_of(overrides, FIRST, tmp_path)
        form = estimator.batch_form(data.train, Mode.TRAIN)
        before = EXECUTABLES.hits
        state = estimator.program.init_state(0, *form)
        (sums, *_) = jax.tree.leaves(state.opt_state)
        accumulators.append(float(np.ravel(sums)[0]))
    assert accumulators == [np.float32(0.2), np.float32(0.3)]
    assert EXECUTABLES.hits == before + 1
