"""Experiments that use the traces of an earlier one: the same as without."""

import jax
import numpy as np
import pytest

from specflow.compose import compose
from specflow.contract import Mode
from specflow.data import build_data
from specflow.estimator import Estimator
from specflow.executor.executables import EXECUTABLES

FIRST = (
    "experiment=digits_mlp",
    "model.hidden=[8]",
    "loop.train_steps=40",
    "loop.batch_size=16",
    "optimizer.ema={decay: 0.99}",
)
STEPS = 6


@pytest.fixture(scope="module")
def data():
    return build_data(compose(FIRST).config.data)


def trained(data, *overrides, earlier=None):
    """(estimator, arrays after some steps and losses) of an experiment."""
    config = compose([*FIRST, *overrides]).config
    estimator = Estimator.from_config(config, data=data, earlier=earlier)
    program, form = estimator.program, estimator.batch_form(data.train, Mode.TRAIN)
    random = np.random.default_rng(0)
    batch = jax.tree.map(
        lambda rows: random.integers(0, 10, (STEPS, *rows.shape)).astype(rows.dtype),
        form,
    )
    state = program.init_state(config.seed, *form)
    features, labels = program.put(batch, axis=1)
    state, losses, outputs = program.train(state, features, labels, 0, STEPS)
    one = program.feed(jax.tree.map(lambda rows: rows[0], batch))
    evaluated = program.evaluate(state, *one, np.ones(16, bool))
    arrays = jax.tree.leaves((state, losses, outputs, evaluated))
    return estimator, [np.asarray(array).tobytes() for array in arrays]


@pytest.fixture(scope="module")
def first(data):
    return trained(data)[0]


@pytest.mark.parametrize(
    "overrides",
    [
        ("optimizer.lr=0.0007", "optimizer.b1=0.8", "optimizer.ema.decay=0.9"),
        ("loop.train_steps=300", "optimizer.schedule.warmup=0.2"),
        ("seed=3", "optimizer.weight_decay=0.02", "loop.eval_every=7"),
        ("seed=5000000000",),
    ],
)
def test_numbers_of_the_optimizer_alone_are_traced(data, first, overrides, monkeypatch):
    monkeypatch.setattr(EXECUTABLES, "_size", 1_000)  # Other tests may have filled it.
    hits, kept = EXECUTABLES.hits, len(EXECUTABLES)
    program = trained(data, *overrides, earlier=first)[0].program
    assert not program.tracer.traces
    assert program.fingerprints() == first.program.fingerprints()
    other_seed = "seed=5000000000" in overrides  # Its upper bits are constants.
    assert len(EXECUTABLES) - kept == other_seed
    assert EXECUTABLES.hits == hits
    again = trained(data, *overrides)
    assert program.inputs() == again[0].program.inputs()
    assert trained(data, *overrides, earlier=first)[1] == again[1]


@pytest.mark.parametrize(
    "overrides",
    [
        ("optimizer.weight_decay=0",),
        ("optimizer=adagrad",),
        ("optimizer.clip_norm=0.5", "optimizer.ema=null"),
    ],
)
def test_another_optimizer_is_another_program_of_the_same_traces(
    data, first, overrides
):
    estimator, arrays = trained(data, *overrides, earlier=first)
    assert not estimator.program.tracer.traces
    programs = estimator.program.fingerprints(), first.program.fingerprints()
    assert programs[0]["train"] != programs[1]["train"]
    assert programs[0]["eval"] == programs[1]["eval"]
    assert arrays == trained(data, *overrides)[1]


def test_initial_values_of_the_optimizer_follow_its_numbers(data):
    key = "optimizer.initial_accumulator_value"
    earlier, _ = trained(data, "optimizer=adagrad", f"{key}=0.1")
    _, arrays = trained(data, "optimizer=adagrad", f"{key}=0.3", earlier=earlier)
    assert arrays == trained(data, "optimizer=adagrad", f"{key}=0.3")[1]


@pytest.mark.parametrize(
    "override",
    ["model.dropout=0.2", "loop.micro_steps=2", "spec.loss.cross_entropy.weight=1.5"],
)
def test_another_model_is_traced(data, first, override):
    estimator, arrays = trained(data, override, earlier=first)
    assert estimator.program.tracer.traces[Mode.TRAIN] > 0
    assert arrays == trained(data, override)[1]


def test_a_chain_of_experiments_equals_experiments_alone(data):
    earlier = None
    for lr in (1e-3, 0.0, 1e-2):
        overrides = f"optimizer.lr={lr}", f"seed={int(1e3 * lr)}"
        if lr == 0.0:
            overrides = ("optimizer=sgd", "optimizer.lr=0.5")
        estimator, arrays = trained(data, *overrides, earlier=earlier)
        assert arrays == trained(data, *overrides)[1]
        earlier = estimator
