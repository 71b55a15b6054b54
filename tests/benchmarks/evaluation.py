"""W4: evaluation rows a second, metrics exact, against the forward pass alone."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import specflow as sf
from specflow import MeshConfig
from specflow.compose import compose
from specflow.data import ArraySource, Data
from specflow.executor.xla_options import convolution_options
from tests.benchmarks.report import Row
from tests.benchmarks.user_cnn import POOLS, UserCnn, model_fn

ROWS, BATCH, ROUNDS = 49_920, 128, 3


def run() -> list[Row]:
    """Seconds a row of a whole evaluation over those of the bare forward pass."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(ROWS, 28, 28, 1)).astype(np.float32)
    source = ArraySource({"image": images}, rng.integers(0, 10, ROWS).astype(np.int32))
    estimators = {"28x28 CNN": _declared(source)}
    for name, pool in POOLS.items():
        estimators[f"user's CNN, {name}"] = sf.Estimator(
            model_fn,
            model=lambda rngs, pool=pool: UserCnn(pool, rngs=rngs),
            model_dir="unused",
            eval_batch_size=BATCH,
        )
    return [_row(name, each, source) for name, each in estimators.items()]


def _declared(source: ArraySource) -> sf.Estimator:
    config = compose(["model=cnn", f"loop.eval_batch_size={BATCH}"]).config

    assert isinstance(config.mesh, MeshConfig)
    return sf.Estimator.from_config(
        config, data=Data(source, source), model_dir="unused"
    )


def _row(name: str, estimator: Any, source: ArraySource) -> Row:
    images = source.take(slice(None))[0]["image"]
    estimator.evaluate(lambda: source, steps=1, record=False)
    state = estimator.program.states.init_model_state(0)
    forward = jax.jit(
        lambda params, model_state, image: estimator.program.model.merge(
            params, model_state, train=False
        )(image),
    )
    traced = forward.trace(state.params, state.model_state, images[:BATCH])
    lowered = traced.lower()
    # The limit is whichever is faster here: plain XLA, or with the options of training.
    programs = [
        lowered.compile(),
        lowered.compile(compiler_options=convolution_options(traced.jaxpr)),
    ]

    def alone(program: Callable[..., Any]) -> float:
        started = time.perf_counter()
        out = None
        for first in range(0, ROWS, BATCH):
            out = program(
                state.params, state.model_state, images[first : first + BATCH]
            )
        jax.block_until_ready(out)
        return (time.perf_counter() - started) / ROWS

    def ours() -> float:
        started = time.perf_counter()
        estimator.evaluate(lambda: source, record=False)
        return (time.perf_counter() - started) / ROWS

    rounds = [(ours(), *map(alone, programs)) for _ in range(ROUNDS + 1)][1:]
    mine, *limits = (statistics.median(column) for column in zip(*rounds, strict=True))
    return Row(
        name=f"evaluation, {name}",
        unit="us a row",
        ours=1e6 * mine,
        theirs=1e6 * min(limits),
        what="forward pass alone",
        goal=1 / 0.97,
    )
