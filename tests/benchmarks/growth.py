"""What grows with a model's parameters and with metrics: compiling, dispatching, rows.

Seconds are of CPU time, each in a process of its own: compiling uses several threads,
and what was compiled before would be found in caches.
"""

import dataclasses
import itertools
import math
import os
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
import optax
from flax import nnx

import specflow as sf
from specflow.data import ArraySource
from specflow.metrics import Mean, ThresholdCounts
from specflow.metrics.curves import Area, evenly_spread
from tests.benchmarks import handwritten
from tests.benchmarks.report import Row

_ROOT = Path(__file__).resolve().parents[2]
ARRAYS, WIDTH, BATCH, STACKED = (100, 1_000), 16, 128, 10
OPTIMIZER = optax.adam(1e-3)


def run() -> list[Row]:
    """Compiling, the host's time for a step, and metrics of a batch."""
    return [
        *(_compiling(arrays) for arrays in ARRAYS),
        _host_of_a_stepped_program(250),
        *metrics(),
    ]


# -- compiling


def _compiling(arrays: int) -> Row:
    ours, theirs = (_in_a_process(kind, arrays) for kind in ("ours", "by hand"))
    return Row(
        f"compile, {arrays} arrays", "s CPU", ours, theirs, "scanned by hand", 1.1
    )


def _in_a_process(kind: str, arrays: int) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.growth", kind, str(arrays)]
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    output = subprocess.run(
        command, cwd=_ROOT, env=environment, check=True, capture_output=True, text=True
    ).stdout
    return float(output.splitlines()[-1])


class _Mlp(nnx.Module):
    """Layers of equal width; constant initial values, which compile in no time."""

    def __init__(self, layers: int, *, rngs: nnx.Rngs):
        sizes = [64, *[WIDTH] * (layers - 1), 10]
        self.layers = nnx.List(
            nnx.Linear(
                inputs,
                outputs,
                kernel_init=nnx.initializers.constant(0.05),
                rngs=rngs,
            )
            for inputs, outputs in itertools.pairwise(sizes)
        )

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = nnx.relu(layer(x))
        return self.layers[-1](x)


def _model_fn(model, features, labels, mode):
    logits = model(features["image"])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return sf.TPUEstimatorSpec(mode, None, losses.mean(), OPTIMIZER)


def _batches(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(STACKED, BATCH, *shape)).astype(np.float32)
    return images, rng.integers(0, 10, (STACKED, BATCH)).astype(np.int32)


def _seconds_to_compile(kind: str, arrays: int) -> float:
    layers, (images, labels) = arrays // 2, _batches((64,))
    if kind == "by hand":
        hidden = (WIDTH,) * (layers - 1)
        loop = handwritten.Scanned(
            lambda key: handwritten.digits_mlp(key, hidden), OPTIMIZER, (images, labels)
        )
        began = time.process_time()
        loop.run().block_until_ready()
        return time.process_time() - began
    program, state = _program(lambda rngs: _Mlp(layers, rngs=rngs), images, labels)
    batches = program.put(({"image": images}, labels), axis=1)
    began = time.process_time()
    jax.block_until_ready(program.train(state, *batches, 0, STACKED))
    return time.process_time() - began


def _program(model: Callable[..., Any], images, labels) -> tuple[Any, Any]:
    estimator = sf.Estimator(
        _model_fn, model=model, model_dir="unused", train_batch_size=BATCH
    )
    source = ArraySource({"image": images[0]}, labels[0])
    form = estimator.batch_form(source, "train")
    return estimator.program, estimator.program.init_state(0, *form)


# -- the host's time for a step of a program that is stepped


class _Convolution(nnx.Module):
    """A convolution, so that the program is stepped on CPU, and many small arrays."""

    def __init__(self, arrays: int, *, rngs: nnx.Rngs):
        self.conv = nnx.Conv(1, 1, (1, 1), rngs=rngs)
        self.biases = nnx.List(nnx.Param(np.zeros(10, "f4")) for _ in range(arrays))

    def __call__(self, x):
        x = self.conv(x).mean((1, 2))
        for bias in self.biases:
            x = x + bias[...]
        return x


def _host_of_a_stepped_program(arrays: int, rounds: int = 60) -> Row:
    """CPU time of the calling thread: as good as nothing of it is the step's own."""
    images, labels = _batches((2, 2, 1))
    images, labels = images[:, :8], labels[:, :8]

    def model(rngs):
        return _Convolution(arrays, rngs=rngs)

    program, state = _program(model, images, labels)
    batches = program.put(({"image": images}, labels), axis=1)
    graph, params = nnx.split(model(nnx.Rngs(0)), nnx.Param)
    paths = [path for path, _ in nnx.to_flat_state(params)]
    flat = {str(path): leaf[...] for path, leaf in nnx.to_flat_state(params)}
    by_hand = flat, OPTIMIZER.init(flat)

    def step(state, batch):
        params, opt_state = state

        def loss_of(params):
            state = ((path, nnx.Param(params[str(path)])) for path in paths)
            logits = nnx.merge(graph, nnx.from_flat_state(state))(batch[0])
            return optax.softmax_cross_entropy_with_integer_labels(
                logits, batch[1]
            ).mean()

        loss, grads = jax.value_and_grad(loss_of)(params)
        updates, opt_state = OPTIMIZER.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), loss

    jitted, batch = (
        jax.jit(step, donate_argnums=0),
        jax.device_put((images[0], labels[0])),
    )
    ours, theirs = [], []
    for _ in range(rounds):
        began = time.thread_time()
        state, *_ = program.train(state, *batches, 0, STACKED)
        ours.append((time.thread_time() - began) / STACKED)
        jax.block_until_ready(state)
        began = time.thread_time()
        for _ in range(STACKED):
            by_hand, _ = jitted(by_hand, batch)
        theirs.append((time.thread_time() - began) / STACKED)
        jax.block_until_ready(by_hand)
    return Row(
        f"host work of a stepped program, {3 * arrays} arrays",
        "us a step",
        1e6 * min(ours),
        1e6 * min(theirs),
        "stepped by hand",
        1.1,
    )


# -- metrics


@dataclasses.dataclass(frozen=True, slots=True)
class _SmallestMean:
    """Exact mean of finite float32 rows that one split sums: no other case is met."""

    total: Fraction
    count: int

    @classmethod
    def from_batch(cls, values: np.ndarray) -> Self:
        wide = np.asarray(values).astype(np.dtype(np.float64))
        largest = 2.0 * math.sqrt(wide.dot(wide))
        if values.dtype.kind not in "biuf" or values.ndim != 1 or largest == math.inf:
            raise ValueError(values)
        exponent = math.frexp(largest)[1] + wide.size.bit_length()
        split = math.ldexp(1.0, exponent)
        upper = (split + wide) - split
        if upper.tobytes() != wide.tobytes():
            raise ValueError(values)
        return cls(Fraction(float(np.add.reduce(upper))), wide.size)

    def merge(self, other: Self) -> Self:
        return type(self)(self.total + other.total, self.count + other.count)


def metrics() -> list[Row]:
    """Microseconds of a batch, merging included, beside the calls into NumPy."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=BATCH).astype(np.float32)
    labels = rng.integers(0, 2, BATCH).astype(np.int32)
    scores = rng.random(BATCH).astype(np.float32)
    cuts, area = evenly_spread(200), Area()
    mean, smallest = Mean.from_batch(values), _SmallestMean.from_batch(values)
    assert (smallest.total, smallest.count) == (mean.total, mean.count)
    counts = ThresholdCounts.from_batch(labels, scores, thresholds=cuts, read=area)
    ascending, split = np.sort(np.asarray(cuts, np.float32)), 2.0**40

    def numpy_mean():
        wide = values.astype(np.float64)
        np.maximum.reduce(np.abs(wide))
        upper = (split + wide) - split
        np.add.reduce(upper)
        np.count_nonzero(wide - upper)

    def numpy_counts():
        scores.min(), scores.max()
        bins = np.searchsorted(ascending, scores)
        bins[labels.astype(bool)] += 201
        return np.bincount(bins, minlength=402) + 0

    def ours_counts():
        batch = ThresholdCounts.from_batch(labels, scores, thresholds=cuts, read=area)
        return counts.merge(batch)

    pairs = {
        "Mean": (lambda: mean.merge(Mean.from_batch(values)), numpy_mean),
        "Mean, by the least code": (
            lambda: smallest.merge(_SmallestMean.from_batch(values)),
            numpy_mean,
        ),
        "200 thresholds": (ours_counts, numpy_counts),
    }
    rows = []
    for name, (ours, theirs) in pairs.items():
        times = _microseconds(ours), _microseconds(theirs)
        what = "NumPy's own work"
        rows.append(Row(f"{name}, {BATCH} rows", "us a batch", *times, what, 1.5))
    return rows


def _microseconds(function: Callable[[], object], calls: int = 40) -> float:
    """CPU time of a call: the least of many short rounds, on a busy machine too."""
    rounds = timeit.repeat(function, timer=time.thread_time, number=calls, repeat=60)
    return 1e6 * min(rounds) / calls


if __name__ == "__main__":
    print(_seconds_to_compile(sys.argv[1], int(sys.argv[2])))
