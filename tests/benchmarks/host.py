"""What the host does for a step, for models of few and of many parameters."""

import time

import jax
import numpy as np
import optax

from specflow.compose import compose
from specflow.data import ArraySource, Data
from specflow.estimator import TPUEstimator
from tests.benchmarks import handwritten
from tests.benchmarks.report import Row

STACKED, BATCH, ROUNDS = 100, 128, 30


def run() -> list[Row]:
    """Microseconds until a step is dispatched: the device's own time is left out."""
    return [_row(depth) for depth in (2, 16, 64)]


def _row(depth: int) -> Row:
    hidden = (16,) * depth
    rng = np.random.default_rng(0)
    images = rng.normal(size=(STACKED, BATCH, 8, 8, 1)).astype(np.float32)
    labels = rng.integers(0, 10, (STACKED, BATCH)).astype(np.int32)
    ours, arrays = _ours(hidden, images, labels)
    return Row(
        name=f"host work, {arrays} arrays",
        unit="us a step",
        ours=ours,
        theirs=_by_hand(hidden, images, labels),
        what="stepped by hand",
        goal=1.0,
    )


def _ours(hidden, images, labels) -> tuple[float, int]:
    config = compose(
        [
            "experiment=digits_mlp",
            "optimizer=adam",
            f"model.hidden={list(hidden)}",
            "model.dropout=0",
        ]
    ).config
    source = ArraySource({"image": images[0]}, labels[0])

    estimator = TPUEstimator.from_config(
        config, data=Data(source, source), model_dir="unused"
    )
    program = estimator.program
    state = program.init_state(0, *estimator.batch_form(source, "train"))
    arrays = len(jax.tree.leaves(state))
    batches = program.put(({"image": images}, labels), axis=1)
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        # One step is enough work for the device; the call is that of a whole loop.
        state, *_ = program.train(state, *batches, 0, 1)
        seconds.append(time.perf_counter() - began)
        jax.block_until_ready(state)
    return 1e6 * min(seconds) / STACKED, arrays


def _by_hand(hidden, images, labels) -> float:
    loop = handwritten.Stepped(
        lambda key: handwritten.digits_mlp(key, hidden),
        optax.adam(1e-3),
        (images, labels),
    )
    batch = loop.batches[0]
    step = jax.jit(loop.step, donate_argnums=0)
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        loop.state, _ = step(loop.state, batch)
        seconds.append(time.perf_counter() - began)
        jax.block_until_ready(loop.state)
    return 1e6 * min(seconds)
