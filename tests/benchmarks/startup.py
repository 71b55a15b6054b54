"""Start-up: how soon a person sees something, and how soon a first step is done.

Whole processes, ours and theirs in turn, and the best of several rounds: what took
longer was held up by something else. A first round warms file caches and bytecode.
"""

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.report import Row

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPTS = Path(__file__).parent / "startup_scripts"
_ROUNDS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class _Cost:
    wall: float
    cpu: float

    def least(self, other: "_Cost") -> "_Cost":
        return _Cost(min(self.wall, other.wall), min(self.cpu, other.cpu))


def run(rounds: int = _ROUNDS) -> list[Row]:
    """Help, `show` and an error against two imports; first steps against scripts."""
    with tempfile.TemporaryDirectory() as folder:
        door = _in_turn(_door(), rounds)
        first = _in_turn(_first_steps(Path(folder)), rounds)
    rows = [
        Row(name, "s CPU", cost.cpu, door["imports"].cpu, "import hydra, pydantic", 1.5)
        for name, cost in door.items()
        if name != "imports"
    ]
    comparisons = (
        ("ours", "flax", "Flax NNX + Hydra", 0.75),
        ("ours, cached", "flax", "Flax NNX + Hydra", 0.55),
        ("ours, cached", "flax, cached", "the same with a compile cache", None),
        ("ours", "optax", "JAX and optax", 1.4),
        ("ours, cached", "optax, cached", "the same with a compile cache", 1.25),
        ("ours", "jax", "JAX alone", None),
        ("ours, cached", "jax, cached", "JAX alone with a compile cache", None),
    )
    for ours, theirs, what, goal in comparisons:
        name = ours.replace("ours", "first step")
        rows += [
            Row(name, "s", first[ours].wall, first[theirs].wall, what, goal),
            Row(name, "s CPU", first[ours].cpu, first[theirs].cpu, what),
        ]
    return rows


def _door() -> dict[str, Callable[[], _Cost]]:
    show = ["show", "experiment=digits"]
    wrong = ["train", "experiment=digits", "optimizer.lrr=3"]
    return {
        "imports": lambda: _whole(["-c", "import hydra, pydantic"]),
        "--help": lambda: _whole(["-m", "specflow", "--help"]),
        "show": lambda: _whole(["-m", "specflow", *show]),
        "config error": lambda: _whole(["-m", "specflow", *wrong], status=2),
    }


def _first_steps(folder: Path) -> dict[str, Callable[[], _Cost]]:
    conf, cache, runs = str(_ROOT / "conf"), str(folder / "xla"), folder / "run"

    def ours(caches: Path) -> _Cost:
        shutil.rmtree(runs, ignore_errors=True)
        return first_step("specflow_train.py", f"output.dir={runs}", caches=caches)

    def without_cache() -> _Cost:
        shutil.rmtree(folder / "fresh", ignore_errors=True)
        return ours(folder / "fresh")

    return {
        "ours": without_cache,
        "ours, cached": lambda: ours(folder / "kept"),
        "flax": lambda: first_step("flax_hydra.py", conf),
        "flax, cached": lambda: first_step("flax_hydra.py", conf, cache),
        "optax": lambda: first_step("raw_optax.py"),
        "optax, cached": lambda: first_step("raw_optax.py", cache),
        "jax": lambda: first_step("raw_jax.py"),
        "jax, cached": lambda: first_step("raw_jax.py", cache),
    }


def _in_turn(measured: dict[str, Callable[[], _Cost]], rounds: int) -> dict[str, _Cost]:
    """The least cost of each over the rounds, after one that does not count."""
    for measure in measured.values():
        measure()
    best = {name: measure() for name, measure in measured.items()}
    for _ in range(rounds - 1):
        for name, measure in measured.items():
            best[name] = best[name].least(measure())
    return best


def _whole(arguments: list[str], *, status: int = 0) -> _Cost:
    """What a Python process costs from its start to its end."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, ended, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(ended)
    if process.returncode != status:
        raise RuntimeError(f"{arguments} ended with {process.returncode}")
    return _Cost(wall, usage.ru_utime + usage.ru_stime)


def first_step(script: str, *arguments: str, caches: Path | None = None) -> _Cost:
    """What a script says of its first step, on a line that begins so."""
    printed = subprocess.run(
        [sys.executable, str(_SCRIPTS / script), *arguments],
        env=_environment(caches),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    line = next(x for x in printed.splitlines() if x.startswith("first step "))
    wall, cpu = line.split()[2:]
    return _Cost(float(wall), float(cpu))


def _environment(caches: Path | None = None) -> dict[str, str]:
    path = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])
    own = {"PYTHONPATH": path.rstrip(os.pathsep), "JAX_PLATFORMS": "cpu"}
    if caches is not None:
        own["XDG_CACHE_HOME"] = str(caches)
    # Bytecode is kept, as it is for anyone who starts a program twice.
    left = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**left, **own}
