"""Several trials in one call: a trial axis by `jax.vmap` or `jax.lax.map`.

For each shipped experiment that fits: the time of four trials that differ in the
learning rate and the seed, in one call and in four, and the largest difference of what
they compute (parameters, optimizer state, losses). docs/design/packs.md has the table.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun

from specflow.compose import compose
from specflow.contract import Mode
from specflow.data import build_data
from specflow.estimator import Estimator
from specflow.executor.xla_options import convolution_options
from tests.benchmarks.report import Row

_TRIALS, _ROUNDS = 4, 3
_RATE = "optimizer.lr"
_EXPERIMENTS = {
    "breast_cancer": (50, _RATE),
    "breast_cancer_wide_and_deep": (50, "optimizer.parts.deep.optimizer.lr"),
    "diabetes": (50, _RATE),
    "diabetes_counts": (50, _RATE),
    "wine": (50, _RATE),
    "digits_mlp": (50, _RATE),
    "digits": (10, _RATE),
    "digits_vit": (10, _RATE),
    "digits_resnet": (10, _RATE),
}
"""Experiment -> steps of a call, and the key that differs between trials."""


def run(names: Iterable[str] = _EXPERIMENTS) -> list[Row]:
    """Packs of each experiment against trials one after another."""
    return [row for name in names for row in _rows(name)]


def _rows(name: str) -> list[Row]:
    trials, batches = _prepared(name)
    states, steps = [state for _, state in trials], _EXPERIMENTS[name][0]
    mask = np.ones(steps, bool)

    def serial() -> list[Any]:
        return [
            program.train(jax.tree.map(jnp.array, state), *batches, 0, steps, mask)
            for program, state in trials
        ]

    results = [jax.tree.leaves(result) for result in jax.block_until_ready(serial())]
    expected = [
        np.stack(list(map(np.asarray, each))) for each in zip(*results, strict=True)
    ]
    packs = {
        kind: _packed(trials, states, batches, mask, kind) for kind in ("vmap", "map")
    }
    times: dict[str, list[float]] = {kind: [] for kind in ("serial", *packs)}
    for _ in range(_ROUNDS):
        for kind, function in {"serial": serial, **packs}.items():
            began = time.perf_counter()
            jax.block_until_ready(function())
            times[kind].append(time.perf_counter() - began)
    base = 1e3 * statistics.median(times["serial"]) / steps / _TRIALS
    rows = []
    for kind, function in packs.items():
        pairs = zip(times[kind], times["serial"], strict=True)
        ratio = statistics.median(mine / other for mine, other in pairs)
        found = _difference(jax.tree.leaves(function()), expected)
        rows.append(Row(f"{name}: {kind}, {found}", "ms", ratio * base, base, "serial"))
    return rows


def _prepared(name: str) -> tuple[list[tuple[Any, Any]], tuple[Any, Any]]:
    """(program, state) of each trial, and stacked batches of the training rows."""
    earlier, trials, batches, data = None, [], None, None
    steps, rate = _EXPERIMENTS[name]
    for number in range(_TRIALS):
        words = f"{rate}={1e-3 * 1.5**number:.4g}", f"seed={number}"
        config = compose([f"experiment={name}", *words]).config
        data = build_data(config.data) if data is None else data
        earlier = Estimator.from_config(config, data=data, earlier=earlier)
        program, form = earlier.program, earlier.batch_form(data.train, Mode.TRAIN)
        size, count = config.loop.batch_size, len(data.train)
        if batches is None:
            rows = [
                data.train.take(np.arange(step * size, (step + 1) * size) % count)
                for step in range(steps)
            ]
            stacked = jax.tree.map(lambda *each: np.stack(each), *rows)
            batches = program.put(stacked, axis=1)
        trials.append((program, program.init_state(number, *form)))
    assert batches is not None
    return trials, batches


def _packed(
    trials: list[tuple[Any, Any]],
    states: list[Any],
    batches: tuple[Any, Any],
    mask: Any,
    kind: str,
) -> Callable[[], Any]:
    """Compiles the train program with a trial axis; returns a call of all steps."""
    lowered = [program.lowered[Mode.TRAIN] for program, _ in trials]
    (text,) = {each.text for each in lowered}
    assert text
    first, flat = lowered[0], jaxpr_as_fun(lowered[0].traced.jaxpr)
    compiled = next(iter(trials[0][0]._compiled_train.values()))
    stacked = _stacked(states)
    losses = np.full((_TRIALS, len(mask)), np.nan, np.float32)
    outputs = _stacked([compiled.zeros() for _ in trials])
    inputs, steps = np.stack([each.inputs for each in lowered]), len(mask)
    structure = jax.tree.structure((stacked, losses, outputs))

    def one(carry: Any, inputs: Any, *bounds: Any) -> Any:
        last = (inputs,) if first.inputs.size else ()
        args = *carry, *batches, mask, *bounds, *last
        return jax.tree.unflatten(structure, flat(*jax.tree.leaves(args)))

    def pack(carry: Any, inputs: Any, *bounds: Any) -> Any:
        if kind == "map":
            return jax.lax.map(lambda each: one(*each, *bounds), (carry, inputs))
        return jax.vmap(lambda *each: one(*each, *bounds))(carry, inputs)

    options = {} if first.looped else convolution_options(first.jaxpr)
    bounds = [(0, steps)] if first.looped else [(index,) for index in range(steps)]
    carry = stacked, losses, outputs
    executable = (
        jax.jit(pack)
        .lower(carry, inputs, *map(np.int32, bounds[0]))
        .compile(compiler_options=options or None)
    )

    def all_steps() -> Any:
        after = carry
        for each in bounds:
            after = executable(after, inputs, *map(np.int32, each))
        return after

    return all_steps


def _stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *trees)


def _difference(arrays: Sequence[Any], expected: Sequence[Any]) -> str:
    """`bitwise`, or the largest difference relative to the array's largest value."""
    pairs = [(np.asarray(a), b) for a, b in zip(arrays, expected, strict=True)]
    if all(a.tobytes() == b.tobytes() for a, b in pairs):
        return "bitwise"
    largest = max(
        float(np.nanmax(np.abs(a - b)) / max(np.nanmax(np.abs(b)), 1e-30))
        for a, b in pairs
        if b.size and b.dtype.kind == "f"
    )
    return f"differs by {largest:.1g}"
