"""Sweeps: from the shell to the last file of the last trial.

Trials of the digits MLP, 500 steps each, learning rates on a log grid. Whole commands
in turn, medians of the ratios of each round; ours has a compile cache that a first run
fills, the scripts by hand compile anew. `python -m tests.benchmarks sweep.64` runs one
part. Wall time is the goal; CPU time tells more on a machine that other work shares.
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
from tests.benchmarks.search_overhead import search_overhead
from tests.benchmarks.startup import first_step

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPTS = Path(__file__).parent / "sweep_scripts"
_COMPOSED = 20


class _Cost(NamedTuple):
    wall: float
    cpu: float
    peak_mb: float
    """Of the largest process."""


def short(rounds: int) -> list[Row]:
    """16 trials against a loop by hand and Hydra's basic launcher."""
    with _folder() as folder:
        sweeps, grid = _Sweeps(folder), rates(16)
        costs = _in_turn(
            {
                "ours": lambda: sweeps.ours(grid),
                "by hand": lambda: sweeps.by_hand(grid),
                _BASIC: lambda: sweeps.hydra_basic(grid),
            },
            rounds,
        )
    return [
        *_rows("16 trials", costs, "by hand", 1.3),
        *_rows("16 trials", costs, _BASIC, 0.5),
    ]


def fresh(rounds: int) -> list[Row]:
    """16 trials against a process for each."""
    with _folder() as folder:
        sweeps, grid = _Sweeps(folder), rates(16)
        costs = _in_turn(
            {
                "ours": lambda: sweeps.ours(grid),
                "fresh lean processes": lambda: sweeps.fresh(grid),
            },
            1,
        )
    return _rows("16 trials", costs, "fresh lean processes", 1 / 5.5)


def long(rounds: int) -> list[Row]:
    """64 trials against a loop by hand, and against the memory of 16."""
    with _folder() as folder:
        sweeps, grid = _Sweeps(folder), rates(64)
        few = sweeps.ours(rates(16))
        costs = _in_turn(
            {
                "ours": lambda: sweeps.ours(grid),
                "by hand": lambda: sweeps.by_hand(grid),
            },
            max(1, rounds - 1),
            is_warm=True,
        )
    peak = statistics.median(cost.peak_mb for cost in costs["ours"])
    return [
        *_rows("64 trials", costs, "by hand", 1.2),
        Row("peak memory, 64 trials", "MB", peak, few.peak_mb, "16 trials", 1.05),
    ]


def restart(rounds: int) -> list[Row]:
    """A solo run with another learning rate: its first step against a cold one."""
    ratios, costs = [], []
    with _folder() as folder:
        for number in range(rounds):
            caches = folder / f"caches-{number}"
            cold, other = (
                first_step(
                    "specflow_train.py",
                    f"optimizer.lr={lr}",
                    f"output.dir={folder}/{number}-{lr}",
                    caches=caches,
                )
                for lr in ("1e-3", "3e-3")
            )
            costs.append(cold)
            ratios.append((other.wall / cold.wall, other.cpu / cold.cpu))
    wall, cpu = (statistics.median(column) for column in zip(*ratios, strict=True))
    least = min(cost.wall for cost in costs), min(cost.cpu for cost in costs)
    name, what = "first step of a second run, another lr", "a cold one"
    return [
        Row(name, "s", wall * least[0], least[0], what, 0.6),
        Row(name, "s CPU", cpu * least[1], least[1], what),
    ]


def config(rounds: int) -> list[Row]:
    """Config work of a further trial."""
    name = "config work of a further trial"
    return [Row(name, "ms CPU", _config_ms(), 10.0, "10 ms", 1.0)]


PARTS = {
    "config": config,
    "16": short,
    "64": long,
    "fresh": fresh,
    "restart": restart,
    "search": lambda rounds: search_overhead(),
}
"""Parts by name; each takes a number of rounds, some fewer."""
_BASIC = "Hydra's basic launcher over a lean function"


def rates(count: int) -> list[str]:
    """Learning rates from 1e-4 to 1e-2, on a log grid."""
    return [f"{1e-4 * 100 ** (each / (count - 1)):.4g}" for each in range(count)]


def _rows(
    name: str, costs: dict[str, list[_Cost]], other: str, goal: float
) -> list[Row]:
    """Medians of the ratios of each round, of wall time and of CPU time."""
    rows = []
    for unit, field in (("s", "wall"), ("s CPU", "cpu")):
        ours, theirs = (
            [getattr(one, field) for one in costs[of]] for of in ("ours", other)
        )
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        base = statistics.median(theirs)
        rows.append(
            Row(name, unit, ratio * base, base, other, goal if unit == "s" else None)
        )
    return rows


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
    measured: dict[str, Callable[[], _Cost]], rounds: int, *, is_warm: bool = False
) -> dict[str, list[_Cost]]:
    """The costs of each in all rounds, after one run of the first to fill its cache."""
    if not is_warm:
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
