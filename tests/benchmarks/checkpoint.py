"""Saving and restoring of checkpoints against copies and files of NumPy."""

import contextlib
import functools
import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from specflow.output import Checkpointer
from specflow.output.checkpoint import arrays_file
from specflow.output.checkpoint.retention import Retention
from tests.benchmarks.report import Row

ROUNDS = 3
LARGE_MB = 1000
STEPS, SAVE_EVERY, STEP_ROUNDS = 200, 10, 9
AS_IT_IS, CONTROL = "as it is", "as it is again"
NO_DIGESTS, NO_RETENTION = "without digests", "removed by hand"
_SCRIPT = "import json; from tests.benchmarks import checkpoint; checkpoint.{}"


def run() -> list[Row]:
    """Memory, blocking time, writing, restoring; each in a fresh process."""
    memory = _measured("print_memory()")
    times = _measured("print_times()")
    steps = _measured("print_steps()")

    def row(name: str, ours: str, theirs: str, what: str, goal: float) -> Row:
        return Row(name, "s", times[ours], times[theirs], what, goal)

    return [
        Row("memory of a save", "MB", memory["save"], LARGE_MB, "the state", 1.15),
        row("first save blocks", "first block", "copy", "copy to fresh memory", 1.2),
        row("later save blocks", "block", "touched copy", "copy to used memory", 1.2),
        row("write 1 GB", "write", "np.save", "np.save and fsync", 1 / 0.8),
        row("restore 1 GB", "restore", "np.load", "np.load of each array", 1 / 0.8),
        row("10 MB in 1,000 arrays", "many arrays", "few arrays", "in 8 arrays", 2),
        *(
            Row(f"{name}, CPU of a step", "ms", steps[AS_IT_IS], theirs, what, goal)
            for name, theirs, what, goal in (
                ("digests", steps[NO_DIGESTS], "a run without them", 1.05),
                ("retention", steps[NO_RETENTION], "removing by hand", 1.05),
                ("neither", steps[CONTROL], "the same run again", None),
            )
        ),
    ]


def _measured(call: str) -> dict[str, float]:
    printed = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(call)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    return json.loads(printed.stdout)


def print_memory() -> None:
    """Prints the resident memory that saves add to the state, in MB, as JSON."""
    state = state_of(LARGE_MB, 8)
    with folder_on_disk() as folder, Checkpointer(folder) as checkpointer:
        checkpointer.save(0, state_of(1, 1))
        checkpointer.wait()
        gc.collect()
        with peak_mb() as peak:
            for step in (1, 2):
                checkpointer.save(step, state)
                checkpointer.wait()
    print(json.dumps({"save": peak[0]}))


def print_times() -> None:
    """Prints the seconds of each action, medians of interleaved rounds, as JSON."""
    state = state_of(LARGE_MB, 8)
    few, many = state_of(10, 8), state_of(10, 1000)
    seconds: dict[str, list[float]] = {}

    def timed(name: str, function: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = function()
        seconds.setdefault(name, []).append(time.perf_counter() - started)
        return result

    def written(name: str, saves: Checkpointer, step: int, tree: Any) -> None:
        started = time.perf_counter()
        saves.save(step, tree)
        saves.wait()
        seconds.setdefault(name, []).append(time.perf_counter() - started)

    leaves = list(state["params"].values())
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )
    with folder_on_disk() as folder:
        copies: list[np.ndarray] = []
        for number in range(ROUNDS):
            copies = timed(
                "copy", lambda: [np.array(leaf, copy=True) for leaf in leaves]
            )
            fresh = Checkpointer(folder / f"fresh{number}")
            timed("first block", lambda fresh=fresh: fresh.save(1, state))
            fresh.close()
            shutil.rmtree(folder / f"fresh{number}")
        with (
            Checkpointer(folder / "large", keep=1) as large,
            Checkpointer(folder / "few", keep=1) as few_saves,
            Checkpointer(folder / "many", keep=1) as many_saves,
        ):
            for number in range(ROUNDS + 1):
                if number == 1:
                    seconds.pop("block"), seconds.pop("write")
                started = time.perf_counter()
                timed("block", lambda step=number: large.save(step, state))
                large.wait()
                seconds.setdefault("write", []).append(time.perf_counter() - started)
                timed("np.save", lambda: _save_by_hand(folder / "numpy", leaves))
                timed("touched copy", lambda: _copy(copies, leaves))
                restored = timed(
                    "restore",
                    lambda: jax.block_until_ready(large.restore(abstract).state),
                )
                del restored
                timed("np.load", lambda: _load_by_hand(folder / "numpy"))
                for step in range(5 * number, 5 * number + 5):
                    written("few arrays", few_saves, step, few)
                    written("many arrays", many_saves, step, many)
    print(json.dumps({name: statistics.median(s) for name, s in seconds.items()}))


def print_steps() -> None:
    """Prints the CPU milliseconds of a step of training with many small saves, as JSON.

    One step in ten is saved, 1 MB in 60 arrays, two checkpoints are kept. The least of
    interleaved rounds, with parts of the save turned off in some. Removing the files of
    a checkpoint is work of the kernel, so retention is compared with that alone.
    """

    @functools.partial(jax.jit, donate_argnums=0)
    def train_step(state: Any) -> Any:
        return jax.tree.map(lambda w: jnp.tanh(w + 1e-3 * (w * w).mean()), state)

    class NoHasher:
        """Hashes nothing."""

        def update(self, _: Any) -> None: ...

        def hexdigest(self) -> str:
            return "0" * 32

    nothing = contextlib.nullcontext()
    variants = {
        AS_IT_IS: nothing,
        NO_DIGESTS: mock.patch.object(arrays_file, "new_hasher", NoHasher),
        NO_RETENTION: mock.patch.object(Retention, "remove_expired", _remove_by_hand),
        CONTROL: nothing,
    }
    milliseconds: dict[str, list[float]] = {name: [] for name in variants}
    with folder_on_disk() as folder:
        for number in range(STEP_ROUNDS + 1):
            for name, changed in variants.items():
                state = state_of(1, 60)
                path = folder / f"{name} {number}"
                with changed, Checkpointer(path, keep=2) as checkpointer:
                    started = time.process_time()
                    for step in range(1, STEPS + 1):
                        state = train_step(state)
                        if step % SAVE_EVERY == 0:
                            checkpointer.save(step, state)
                    checkpointer.wait()
                    seconds = time.process_time() - started
                milliseconds[name].append(1e3 * seconds / STEPS)
                shutil.rmtree(path)
    # The first round compiles.
    print(json.dumps({name: min(times[1:]) for name, times in milliseconds.items()}))


def state_of(megabytes: int, arrays: int) -> dict[str, dict[str, jax.Array]]:
    """A state of random values, which do not compress."""
    size = megabytes * 1_000_000 // 4 // arrays
    rng = np.random.default_rng(0)
    state = {
        f"w{number}": jnp.asarray(rng.random(size, np.float32))
        for number in range(arrays)
    }
    return {"params": jax.block_until_ready(state)}


def _remove_by_hand(retention: Retention) -> None:
    """Removes all but the two newest checkpoints."""
    folder = retention._directory.path
    steps = sorted(int(path.name) for path in folder.iterdir())
    for step in steps[:-2]:
        shutil.rmtree(folder / str(step))


def _copy(targets: list[np.ndarray], leaves: list[jax.Array]) -> None:
    for target, leaf in zip(targets, leaves, strict=True):
        np.copyto(target, np.asarray(leaf))


def _save_by_hand(folder: Path, leaves: list[jax.Array]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number, leaf in enumerate(leaves):
        with (folder / f"{number}.npy").open("wb") as file:
            np.save(file, np.asarray(leaf))
            file.flush()
            os.fsync(file.fileno())


def _load_by_hand(folder: Path) -> list[np.ndarray]:
    return [np.load(path) for path in sorted(folder.iterdir())]


@contextlib.contextmanager
def folder_on_disk() -> Iterator[Path]:
    """A temporary folder; TMPDIR chooses the disk, and must not be one in memory."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@contextlib.contextmanager
def peak_mb() -> Iterator[list[float]]:
    """The highest resident memory in the block, in MB above that at its begin."""

    def resident_mb() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    start, peak, ended = resident_mb(), [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.002):
            peak[0] = max(peak[0], resident_mb() - start)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()
