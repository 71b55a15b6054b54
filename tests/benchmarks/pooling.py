"""Training of a user's own CNN with `nnx.max_pool`, against XLA's gradient of it."""

import statistics
import tempfile
import time

import jax
import numpy as np
import optax
from flax import nnx

import specflow as sf
from specflow.data import ArraySource
from tests.benchmarks.report import Row
from tests.benchmarks.user_cnn import POOLS, UserCnn, model_fn, optimizer

BATCH, STEPS, ROUNDS = 128, 30, 5
# With the option that training had before pooling was looked at.
OPTIONS: dict[str, str | bool] = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
}


def run() -> list[Row]:
    """Milliseconds a step, for each way to pool."""
    return [_row(name) for name in POOLS]


def _row(name: str) -> Row:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(10 * BATCH, 28, 28, 1)).astype(np.float32)
    labels = rng.integers(0, 10, 10 * BATCH).astype(np.int32)
    by_hand = _ByHand(UserCnn(POOLS[name], rngs=nnx.Rngs(0)), images, labels)
    source = ArraySource({"image": images}, labels)
    with tempfile.TemporaryDirectory() as folder:
        estimator = sf.Estimator(
            model_fn,
            model=lambda rngs: UserCnn(POOLS[name], rngs=rngs),
            model_dir=folder,
            config=sf.RunConfig(progress=False, save_at_start=False),
            train_batch_size=BATCH,
        )

        def ours() -> float:
            before = dict(estimator.timing)
            estimator.train(lambda: source, steps=STEPS)
            spent = {
                part: estimator.timing.get(part, 0) - before.get(part, 0)
                for part in ("train", "input")
            }
            return sum(spent.values()) / STEPS

        rounds = [(ours(), by_hand.seconds_per_step()) for _ in range(ROUNDS + 1)][1:]
    mine, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    return Row(
        name=f"user's CNN, {name}",
        unit="ms a step",
        ours=1e3 * mine,
        theirs=1e3 * theirs,
        what="stepped by hand, XLA's gradient",
        goal=0.7 if name == "nnx.max_pool" else None,
    )


class _ByHand:
    """One jitted step a call on batches that are on the device."""

    def __init__(self, net: nnx.Module, images: np.ndarray, labels: np.ndarray):
        graph, params = nnx.split(net, nnx.Param)
        self.state = params, optimizer.init(params)
        self.batches = [
            jax.device_put((images[rows : rows + BATCH], labels[rows : rows + BATCH]))
            for rows in range(0, len(labels), BATCH)
        ]

        def step(state, batch):
            params, opt_state = state

            def loss_of(params):
                logits = nnx.merge(graph, params)(batch[0])
                return optax.softmax_cross_entropy_with_integer_labels(
                    logits, batch[1]
                ).mean()

            loss, grads = jax.value_and_grad(loss_of)(params)
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), loss

        lowered = jax.jit(step, donate_argnums=0).lower(self.state, self.batches[0])
        self.program = lowered.compile(compiler_options=OPTIONS)

    def seconds_per_step(self) -> float:
        """Trains `STEPS` steps; returns the seconds of one."""
        started, loss = time.perf_counter(), None
        for step in range(STEPS):
            batch = self.batches[step % len(self.batches)]
            self.state, loss = self.program(self.state, batch)
        jax.block_until_ready(loss)
        return (time.perf_counter() - started) / STEPS
