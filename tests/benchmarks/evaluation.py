"""W4: evaluation rows a second, metrics exact, against the forward pass alone."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from specflow import MeshConfig
from specflow.compose import compose
from specflow.data import ArraySource
from specflow.estimator import TPUEstimator
from specflow.executor.xla_options import CPU_CONVOLUTION_GRADIENTS
from tests.benchmarks.report import Row

ROWS, BATCH, ROUNDS = 49_920, 128, 3


def run() -> list[Row]:
    """Rows a second of a whole evaluation over those of the bare forward pass."""
    config = compose(["model=cnn", "loop.eval_batch_size=128"]).config
    rng = np.random.default_rng(0)
    images = rng.normal(size=(ROWS, 28, 28, 1)).astype(np.float32)
    labels = rng.integers(0, 10, ROWS).astype(np.int32)
    source = ArraySource({"image": images}, labels)

    class Rows:
        train = eval = source
        shuffle = True

    estimator = TPUEstimator.from_config(config, data=Rows, model_dir="unused")
    assert isinstance(config.mesh, MeshConfig)
    estimator.evaluate(lambda: source, steps=1, record=False)
    state = estimator.program.states.init_model_state(0)
    forward = jax.jit(
        lambda params, model_state, image: estimator.program.model.merge(
            params, model_state, train=False
        )(image),
    )
    lowered = forward.lower(state.params, state.model_state, images[:BATCH])
    # The limit is whichever is faster here: XLA as it is, or told what we tell it.
    programs = [
        lowered.compile(),
        lowered.compile(compiler_options=dict(CPU_CONVOLUTION_GRADIENTS)),
    ]

    def alone(program: Callable[..., Any]) -> float:
        started = time.perf_counter()
        for first in range(0, ROWS, BATCH):
            out = program(
                state.params, state.model_state, images[first : first + BATCH]
            )
        out.block_until_ready()
        return ROWS / (time.perf_counter() - started)

    def ours() -> float:
        started = time.perf_counter()
        estimator.evaluate(lambda: source, record=False)
        return ROWS / (time.perf_counter() - started)

    rounds = [(ours(), *map(alone, programs)) for _ in range(ROUNDS + 1)][1:]
    mine, *limits = (statistics.median(column) for column in zip(*rounds, strict=True))
    # Seconds a row, so that a smaller ratio is better, as in every other row.
    return [
        Row(
            name="evaluation, 28x28 CNN",
            unit="us a row",
            ours=1e6 / mine,
            theirs=1e6 / max(limits),
            what="forward pass alone",
            goal=1 / 0.97,
        )
    ]
