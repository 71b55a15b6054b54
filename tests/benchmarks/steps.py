"""Training steps: the whole program, with its logging, checkpoints and progress."""

import contextlib
import io
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optax

from specflow import commands
from specflow.compose import compose
from specflow.data import BatchPlan, build_data
from tests.benchmarks import handwritten
from tests.benchmarks.report import Row

ROUNDS = 3


def run() -> list[Row]:
    """One row for each workload and each loop that it is measured against."""
    return [*digits_mlp(), *cnn(), *byte_lm()]


def digits_mlp() -> list[Row]:
    """W1: dispatch-bound."""
    overrides = [
        "experiment=digits_mlp",
        "optimizer=adam",
        "model.dropout=0",
        "loop.eval_every=0",
        "loop.iterations_per_loop=100",
        "output.checkpoint.every=1000",
    ]
    return _measured(
        "digits MLP",
        handwritten.digits_mlp,
        optax.adam(1e-3),
        overrides,
        steps=5_000,
        stacked=100,
        goal=1.10,
        unit="us a step",
        scale=1e6,
    )


def cnn() -> list[Row]:
    """W2: convolutions of 28x28 images."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for part, rows in (("train", 1_280), ("eval", 128)):
            np.savez(
                Path(folder, f"{part}.npz"),
                image=rng.normal(size=(rows, 28, 28, 1)).astype(np.float32),
                labels=rng.integers(0, 10, rows).astype(np.int32),
            )
        overrides = [
            "data=npz",
            f"data.train={folder}/train.npz",
            f"data.eval={folder}/eval.npz",
            "model=cnn",
            "optimizer=adam",
            "loop.iterations_per_loop=10",
        ]
        return _measured(
            "28x28 CNN",
            handwritten.cnn,
            optax.adam(1e-3),
            overrides,
            steps=60,
            stacked=10,
            goal=1.02,
            unit="ms a step",
            scale=1e3,
            # On CPU a scanned convolution takes seconds a step: nobody would write it.
            loops=("stepped by hand",),
        )


def byte_lm() -> list[Row]:
    """W3: compute-bound."""
    overrides = [
        "experiment=stdlib_lm",
        "model.layers=4",
        "model.positions=learned",
        "model.max_length=128",
        "data.length=128",
        "optimizer.clip_norm=null",
        "optimizer.lr=1e-3",
        "loop.batch_size=16",
        "loop.eval_every=0",
        "loop.eval_steps=1",
        "loop.iterations_per_loop=10",
    ]
    return _measured(
        "byte transformer",
        handwritten.byte_lm,
        optax.adamw(1e-3),
        overrides,
        steps=60,
        stacked=10,
        goal=1.03,
        unit="ms a step",
        scale=1e3,
    )


def _measured(
    name: str,
    model,
    optimizer,
    overrides: list[str],
    *,
    steps: int,
    stacked: int,
    goal: float,
    unit: str,
    scale: float,
    loops: Sequence[str] = ("scanned by hand", "stepped by hand"),
) -> list[Row]:
    config = compose(overrides).config
    plan = BatchPlan(build_data(config.data).train, config.loop.batch_size)
    features, labels = plan.rows(0, stacked)
    (inputs,) = features.values()
    kinds = {
        "scanned by hand": handwritten.Scanned,
        "stepped by hand": handwritten.Stepped,
    }
    by_hand = {name: kinds[name](model, optimizer, (inputs, labels)) for name in loops}
    found: dict[str, list[float]] = {"ours": [], **{each: [] for each in by_hand}}
    for loop in by_hand.values():
        loop.seconds_per_step(stacked)  # Compiles.
    _ours(overrides, steps)
    for _ in range(ROUNDS):
        for each, loop in by_hand.items():
            found[each].append(loop.seconds_per_step(steps))
        found["ours"].append(_ours(overrides, steps))
    medians = {each: scale * statistics.median(found[each]) for each in found}
    # The limit is whichever way of running JAX is the faster one here.
    limit = min(by_hand, key=lambda each: medians[each])
    return [
        Row(
            name=name,
            unit=unit,
            ours=medians["ours"],
            theirs=medians[each],
            what=each,
            goal=goal if each == limit else None,
        )
        for each in by_hand
    ]


def _ours(overrides: list[str], steps: int) -> float:
    """Seconds a step of a whole run, without what it compiled."""
    with tempfile.TemporaryDirectory() as folder:
        composed = compose(
            [*overrides, f"loop.train_steps={steps}", f"output.dir={folder}/run"]
        )
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            timing = commands.train(composed)["timing"]
    return (timing["train"] + timing["input"]) / steps
