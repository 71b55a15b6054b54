"""Ways to store a state: ours, Orbax, and TensorStore alone, each in a fresh process.

Needs orbax-checkpoint, which Flax installs with tensorstore. The figures that decided
for our own format are in docs/design/checkpoint-format.md; `python -m
tests.benchmarks.checkpoint_stores` prints them again.
"""

import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from tests.benchmarks.checkpoint import LARGE_MB, folder_on_disk, peak_mb, state_of

ROUNDS = 3
STORES = ("ours", "orbax v0", "orbax v1", "tensorstore")


def main() -> None:
    """Prints memory, blocking, writing and restoring of each store, as a table."""
    print("store        memory/state  blocks s  write s  restore s  1,000 arrays s")
    for store in STORES:
        printed = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.checkpoint_stores", store],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )
        figures = json.loads(printed.stdout.splitlines()[-1])
        print(f"{store:<12} " + "  ".join(f"{value:10.3f}" for value in figures))


def measure(store: str) -> None:
    """Prints the figures of one store as JSON."""
    large, many = state_of(LARGE_MB, 8), state_of(10, 1000)
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), large
    )
    blocks, writes, restores, small = [], [], [], []
    with folder_on_disk() as folder:
        save, restore = _store(store, folder.absolute())
        save(0, state_of(1, 1))()
        gc.collect()
        with peak_mb() as peak:
            for step in range(1, ROUNDS + 1):
                started = time.perf_counter()
                wait = save(step, large)
                blocks.append(time.perf_counter() - started)
                wait()
                os.sync()
                writes.append(time.perf_counter() - started)
        for step in range(1, ROUNDS + 1):
            started = time.perf_counter()
            jax.block_until_ready(restore(step, abstract))
            restores.append(time.perf_counter() - started)
            shutil.rmtree(folder / str(step))
            started = time.perf_counter()
            save(100 + step, many)()
            small.append(time.perf_counter() - started)
    medians = map(statistics.median, (blocks, writes, restores, small))
    print(json.dumps([peak[0] / LARGE_MB, *medians]))


def _store(
    name: str, folder: Path
) -> tuple[Callable[[int, Any], Callable[[], object]], Callable[[int, Any], Any]]:
    """Functions that save (and return one that waits) and restore."""
    if name == "ours":
        from specflow.output import Checkpointer

        saves = Checkpointer(folder, keep=0)

        def save(step: int, state: Any) -> Callable[[], object]:
            saves.save(step, state)
            return saves.wait

        return save, lambda step, like: saves.restore(like, step=step).state
    if name == "orbax v0":
        import orbax.checkpoint as ocp

        checkpointer = ocp.AsyncCheckpointer(ocp.StandardCheckpointHandler())

        def save_v0(step: int, state: Any) -> Callable[[], object]:
            checkpointer.save(folder / str(step), args=ocp.args.StandardSave(state))
            return checkpointer.wait_until_finished

        return save_v0, lambda step, like: checkpointer.restore(
            folder / str(step), args=ocp.args.StandardRestore(like)
        )
    if name == "tensorstore":
        return _tensorstore(folder)
    from orbax.checkpoint import v1

    def save_v1(step: int, state: Any) -> Callable[[], object]:
        return v1.save_pytree_async(folder / str(step), state).result

    return save_v1, lambda step, like: v1.load_pytree(folder / str(step), like)


def _tensorstore(
    folder: Path,
) -> tuple[Callable[[int, Any], Callable[[], object]], Callable[[int, Any], Any]]:
    """TensorStore by hand: one uncompressed Zarr array for each array of the state."""
    import numpy as np
    import tensorstore as ts

    def spec(step: int, name: str) -> dict[str, Any]:
        files = {"driver": "file", "path": f"{folder}/{step}/{name}/"}
        return {"driver": "zarr", "kvstore": files}

    def opened(specs: dict[str, Any], **options: Any) -> dict[str, Any]:
        futures = {name: ts.open(spec, **options) for name, spec in specs.items()}
        return {name: future.result() for name, future in futures.items()}

    def save(step: int, state: Any) -> Callable[[], object]:
        leaves = {name: np.asarray(leaf) for name, leaf in state["params"].items()}
        specs = {
            name: spec(step, name)
            | {
                "metadata": {
                    "shape": leaf.shape,
                    "chunks": leaf.shape,
                    "dtype": leaf.dtype.str,
                    "compressor": None,
                }
            }
            for name, leaf in leaves.items()
        }
        arrays = opened(specs, create=True)
        writes = [arrays[name].write(leaf) for name, leaf in leaves.items()]
        for write in writes:
            write.copy.result()  # The next step may donate the buffers.

        return lambda: [write.commit.result() for write in writes]

    def restore(step: int, like: Any) -> Any:
        arrays = opened({name: spec(step, name) for name in like["params"]})
        reads = {name: array.read() for name, array in arrays.items()}
        return {
            "params": {
                name: jax.device_put(read.result(), like["params"][name].sharding)
                for name, read in reads.items()
            }
        }

    return save, restore


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1])
    else:
        main()
