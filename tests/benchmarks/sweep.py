"""Sweeps: from the shell to the last file of the last trial.

16 trials of the digits MLP, 500 steps each, learning rates on a log grid. Whole
commands in turn, medians of the ratios of each round; each has a compile cache of its
own that the first round fills, except the scripts by hand, which compile anew.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.report import Row

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPTS = Path(__file__).parent / "sweep_scripts"
_COMPOSED = 20


class _Cost(NamedTuple):
    wall: float
    cpu: float
    peak_mb: float
    """Of the largest process."""


def run(rounds: int = 5) -> list[Row]:
    """Sweeps of 16 and 64 trials, their memory, and config work per trial."""
    with _folder() as folder:
        sweeps = _Sweeps(folder)
        grid, long = rates(16), rates(64)
        short = _in_turn(
            {
                "ours": lambda: sweeps.ours(grid),
                "by hand": lambda: sweeps.by_hand(grid),
                "Hydra's basic launcher over a lean function": (
                    lambda: sweeps.hydra_basic(grid)
                ),
                "hydra/launcher=basic": (
                    lambda: sweeps.ours(grid, "hydra/launcher=basic")
                ),
            },
            rounds,
        )
        fresh = _in_turn(
            {
                "ours": lambda: sweeps.ours(grid),
                "fresh lean processes": lambda: sweeps.fresh(grid),
            },
            1,
        )
        more = _in_turn(
            {
                "ours": lambda: sweeps.ours(long),
                "by hand": lambda: sweeps.by_hand(long),
            },
            max(1, rounds // 2),
        )
    goals = {
        "by hand": 1.3,
        "Hydra's basic launcher over a lean function": 0.5,
        "hydra/launcher=basic": None,
    }
    peaks = [
        statistics.median(c.peak_mb for c in each["ours"]) for each in (more, short)
    ]
    return [
        *(_row("16 trials", short, other, goal) for other, goal in goals.items()),
        _row("16 trials", fresh, "fresh lean processes", 1 / 5.5),
        _row("64 trials", more, "by hand", 1.2),
        Row("peak memory", "MB", peaks[0], peaks[1], "16 trials, ours", 1.05),
        Row("config work of a further trial", "ms", _config_ms(), 10.0, "10 ms", 1.0),
    ]


def rates(count: int) -> list[str]:
    """Learning rates from 1e-4 to 1e-2, on a log grid."""
    return [f"{1e-4 * 100 ** (each / (count - 1)):.4g}" for each in range(count)]


def _row(
    name: str, costs: dict[str, list[_Cost]], other: str, goal: float | None
) -> Row:
    ours, theirs = costs["ours"], costs[other]
    ratio = statistics.median(
        a.wall / b.wall for a, b in zip(ours, theirs, strict=True)
    )
    base = statistics.median(cost.wall for cost in theirs)
    return Row(name, "s", ratio * base, base, other, goal)


class _Sweeps:
    """Commands that run sweeps.

    Args:
        folder: for their files.
    """

    def __init__(self, folder: Path):
        self._folder, self._count = folder, 0

    def ours(self, grid: list[str], *overrides: str) -> _Cost:
        """`specflow train -m`."""
        return self._measured(
            [
                *("-m", "specflow", "train", "-m", "experiment=digits_mlp"),
                *("loop.train_steps=500", f"optimizer.lr={','.join(grid)}"),
                f"output.dir={self._new()}",
                *overrides,
            ]
        )

    def by_hand(self, grid: list[str]) -> _Cost:
        """A loop that compiles once."""
        script = str(_SCRIPTS / "hand_written.py")
        return self._measured([script, self._new(), ",".join(grid)])

    def hydra_basic(self, grid: list[str]) -> _Cost:
        """A lean JAX function under Hydra's basic launcher."""
        script = str(_SCRIPTS / "hydra_basic.py")
        sweep = f"lr={','.join(grid)}", f"hydra.sweep.dir={self._new()}"
        return self._measured([script, "-m", *sweep])

    def fresh(self, grid: list[str]) -> _Cost:
        """A lean process for each trial."""
        script, folder = str(_SCRIPTS / "fresh_process.py"), self._new()
        costs = [self._measured([script, f"{folder}/{lr}", lr]) for lr in grid]
        peak = max(cost.peak_mb for cost in costs)
        return _Cost(sum(c.wall for c in costs), sum(c.cpu for c in costs), peak)

    def _new(self) -> str:
        self._count += 1
        return str(self._folder / str(self._count))

    def _measured(self, arguments: list[str]) -> _Cost:
        path = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env={
                **os.environ,
                "PYTHONPATH": path.rstrip(os.pathsep),
                "JAX_PLATFORMS": "cpu",
                "XDG_CACHE_HOME": str(self._folder / "cache"),
            },
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # With the processes that it has waited for.
        _, ended, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(ended)
        if process.returncode:
            raise RuntimeError(f"{arguments} ended with {process.returncode}")
        cpu = usage.ru_utime + usage.ru_stime
        return _Cost(wall, cpu, usage.ru_maxrss / 1024)


def _in_turn(
    measured: dict[str, Callable[[], _Cost]], rounds: int
) -> dict[str, list[_Cost]]:
    """The costs of each in all rounds, after one run of the first to fill its cache."""
    measured["ours"]()
    costs: dict[str, list[_Cost]] = {name: [] for name in measured}
    for number in range(rounds):
        order = list(measured) if number % 2 else list(reversed(measured))
        for name in order:
            costs[name].append(measured[name]())
    return costs


def _config_ms() -> float:
    """CPU ms to compose one more trial: once to check it, once in the worker."""
    from specflow.compose import compose
    from specflow.compose.merged_files import kept_files

    with kept_files():
        costs = []
        for rate in rates(_COMPOSED):
            began = time.process_time()
            for _ in range(2):
                compose(["experiment=digits_mlp", f"optimizer.lr={rate}"])
            costs.append(time.process_time() - began)
    return 1e3 * statistics.median(costs[1:])


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
