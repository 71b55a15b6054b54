"""Real processes restore what another number of processes saved."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from specflow.output import Checkpointer
from tests.preloaded import Preloaded

ROOT = Path(__file__).parents[2]
SHARDED = {"matrix": (64, 48), "column": (24, 16)}
"""Shape of each array that is sharded; `vector` and `count` are replicated."""
PROGRAM = """
import json
import os
import sys

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from specflow.output import Checkpointer
from specflow.output.checkpoint import arrays_file
from tests.distributed.test_elastic import ROWS, COLUMNS, arrays, abstract, placed

jax.config.update("jax_num_cpu_devices", 4 // int(sys.argv[3]))
jax.distributed.initialize(sys.argv[1], int(sys.argv[3]), int(sys.argv[2]))
arrays_file._SHORT_ROW_BYTES = 4  # Of a row, no more than is needed is read.
counts = {"read": 0, "verified": 0}
preadv, digest = os.preadv, arrays_file.ArraysFile.digest


def counted(*arguments):
    count = preadv(*arguments)
    counts["read"] += count
    return count


def verified(self, name, size):
    counts["verified"] += size
    return digest(self, name, size)


arrays_file.ArraysFile.digest = verified
mesh = jax.make_mesh((4,), ("fsdp",))
results = []
for action, folder, spec in json.loads(sys.argv[4]):
    spec = {"rows": ROWS, "columns": COLUMNS}[spec]
    with Checkpointer(folder) as checkpoints:
        if action == "save":
            checkpoints.save(1, placed(mesh, spec))
            continue
        counts.update(read=0, verified=0)
        os.preadv = counted
        restored = checkpoints.restore(abstract(mesh, spec)).state
        os.preadv = preadv
        held = 0
        for name, expected in arrays().items():
            pieces = {
                str(shard.index): np.asarray(shard.data)
                for shard in restored[name].addressable_shards
            }
            held += sum(piece.nbytes for piece in pieces.values())
            for shard in restored[name].addressable_shards:
                piece = np.asarray(shard.data)
                assert piece.tobytes() == expected[shard.index].tobytes(), name
        results.append({**counts, "held": held})
print(json.dumps(results), flush=True)
"""
ROWS, COLUMNS = PartitionSpec("fsdp"), PartitionSpec(None, "fsdp")


def arrays():
    rng = np.random.default_rng(5)
    state = {
        name: rng.standard_normal(shape, np.float32) for name, shape in SHARDED.items()
    }
    return {**state, "vector": np.arange(100.0, dtype=np.float32), "count": np.int32(3)}


def shardings(mesh, spec):
    return {
        name: NamedSharding(mesh, spec if name in SHARDED else PartitionSpec())
        for name in arrays()
    }


def placed(mesh, spec):
    where = shardings(mesh, spec)

    def shards(name, array):
        array = np.asarray(array)
        return jax.make_array_from_callback(
            array.shape, where[name], lambda index: array[index]
        )

    return {name: shards(name, array) for name, array in arrays().items()}


def abstract(mesh, spec):
    return {
        name: jax.ShapeDtypeStruct(np.shape(array), array.dtype, sharding=sharding)
        for (name, array), sharding in zip(
            arrays().items(), shardings(mesh, spec).values(), strict=True
        )
    }


def in_processes(count, address, actions):
    """Runs (save or restore, folder, sharding), and returns what each process read."""
    words = [sys.executable, "-c", PROGRAM, address]
    started = [
        Preloaded(
            [*words, str(index), str(count), json.dumps(actions)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]
    try:
        ended = [process.communicate(timeout=120) for process in started]
    finally:
        for process in started:
            process.kill()
            process.communicate()
    for process, (_, errors) in zip(started, ended, strict=True):
        assert process.returncode == 0, errors
    # Others, such as Gloo, write there too.
    return [
        json.loads([line for line in out.splitlines() if line.startswith("[{")][-1])
        if any(action == "restore" for action, *_ in actions)
        else []
        for out, _ in ended
    ]


def mesh_of(devices):
    return Mesh(np.array(jax.devices()[:devices]), ("fsdp",))


@pytest.fixture(scope="module")
def saved(tmp_path_factory, new_coordinator):
    """Folder of each writer, one, two or four processes, and what two processes read.

    The two of them restore what one and what four processes saved, under the same
    sharding and under another.
    """
    root = tmp_path_factory.mktemp("elastic")
    folders = {count: str(root / str(count)) for count in (1, 2, 4)}
    with Checkpointer(folders[1]) as checkpoints:
        checkpoints.save(1, placed(mesh_of(1), ROWS))
    in_processes(4, new_coordinator(), [["save", folders[4], "rows"]])
    actions = [
        ["restore", folders[1], "rows"],
        ["restore", folders[1], "columns"],
        ["restore", folders[4], "rows"],
        ["restore", folders[4], "columns"],
        ["save", folders[2], "columns"],
    ]
    read = in_processes(2, new_coordinator(), actions)
    cases = [f"{Path(folder).name} {spec}" for _, folder, spec in actions[:4]]
    return folders, dict(zip(cases, zip(*read, strict=True), strict=True))


@pytest.mark.parametrize("case", ["1 rows", "1 columns", "4 rows", "4 columns"])
def test_a_process_reads_what_its_devices_hold_and_its_part_of_the_verification(
    saved, case
):
    """Each process has also checked the values of its shards, bit for bit."""
    processes = saved[1][case]
    assert len(processes) == 2
    total = sum(array.nbytes for array in arrays().values())
    sharded = 4 * sum(np.prod(shape) for shape in SHARDED.values())
    for counts in processes:
        assert counts["held"] == total - sharded // 2
        header = counts["read"] - counts["held"] - counts["verified"]
        assert 0 < header < 4096  # The header of each file, 64 names at most.
    # What was saved by rows is read completely, and so verified, where rows are held.
    verified = sum(counts["verified"] for counts in processes)
    assert verified == (0 if case == "4 rows" else sharded)


@pytest.mark.parametrize("devices", [1, 2, 8])
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_one_process_restores_what_several_saved(saved, processes, devices):
    with Checkpointer(saved[0][processes]) as checkpoints:
        restored = checkpoints.restore(abstract(mesh_of(devices), ROWS)).state
    for name, expected in arrays().items():
        assert np.asarray(restored[name]).tobytes() == expected.tobytes(), name
