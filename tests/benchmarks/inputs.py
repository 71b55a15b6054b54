"""Hyperparameters as inputs: what they cost a first step, and what the next run saves.

Whole processes in turn, each with a compile cache of its own unless said; CPU seconds
after imports, and medians of the ratios of each round.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.report import Row

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = Path(__file__).parent / "startup_scripts" / "first_step.py"
_EXPERIMENTS = ("digits_mlp", "digits")


def run(rounds: int = 3) -> list[Row]:
    """First steps and steps, with inputs and with constants."""
    return [row for name in _EXPERIMENTS for row in _rows(name, rounds)]


def _rows(name: str, rounds: int) -> list[Row]:
    experiment = f"experiment={name}"
    measured: list[dict[str, tuple[float, float]]] = []
    for index in range(rounds):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            order = [("constants", one), ("inputs", two)]
            numbers = {
                kind: _first_step(cache, kind, experiment)
                for kind, cache in (order if index % 2 else order[::-1])
            }
            entries = len(os.listdir(two))
            other = "optimizer.lr=0.0007", "optimizer.b1=0.8", "model.dropout=0.2"
            numbers["other"] = _first_step(two, "inputs", experiment, *other)
            both = len(os.listdir(two))
            measured.append(numbers)

    def row(
        what: str, ours: str, theirs: str, against: str, goal: float, column: int = 0
    ) -> Row:
        ratios = [each[ours][column] / each[theirs][column] for each in measured]
        base = statistics.median(each[theirs][column] for each in measured)
        ratio = statistics.median(ratios)
        return Row(f"{name}: {what}", "s CPU", ratio * base, base, against, goal)

    return [
        row("first step, other values", "other", "inputs", "empty cache", 0.6),
        row("first step, cold", "inputs", "constants", "constants", 1.05),
        row("a step", "inputs", "constants", "constants", 1.03, 1),
        Row(f"{name}: cache entries", "", both, entries, "one run", 1.0),
    ]


def _first_step(cache: str, *arguments: str) -> tuple[float, float]:
    """CPU seconds of the first step and of a later one, in a process of its own."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": str(_ROOT),
    }
    done = subprocess.run(
        [sys.executable, str(_SCRIPT), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    first, step = done.stdout.split()[-2:]
    return float(first), float(step)
