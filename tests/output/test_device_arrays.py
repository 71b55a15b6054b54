"""Arrays restored onto devices: any sharding of any mesh, in memory for them alone."""

import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from specflow.output.checkpoint import arrays_file, device_arrays
from specflow.output.checkpoint.archive import Archive
from specflow.output.checkpoint.device_arrays import _Budget, read_onto_devices
from specflow.output.checkpoint.saved_arrays import saved_arrays
from specflow.output.checkpoint.snapshot import HostSnapshots

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
ARRAYS = {
    "params/matrix": RNG.standard_normal((16, 24), np.float32),
    "params/cube": RNG.standard_normal((8, 8, 16)).astype(ml_dtypes.bfloat16),
    "params/bits": RNG.integers(-8, 8, (8, 16)).astype(ml_dtypes.int4),
    "params/nothing": np.zeros((0, 8), np.float32),
    "state/flags": RNG.integers(0, 2, 16).astype(bool),
    "opt_state/count": np.array(7, np.int32),
}
"""Dimensions that 8 devices divide, or that are empty."""
SHAPES = [(8,), (1, 8), (2, 4), (4, 2), (2, 2, 2), (2,), (2, 2), (1,)]
"""Meshes of up to eight devices, such as (data, fsdp, tensor)."""


@st.composite
def layouts(draw):
    """A mesh, its devices in any order, and how each array is sharded over its axes."""
    shape = draw(st.sampled_from(SHAPES))
    count = int(np.prod(shape))
    devices = draw(st.permutations(jax.devices()[:8]))[:count]
    axes = [f"axis{number}" for number in range(len(shape))]
    mesh = Mesh(np.array(devices).reshape(shape), axes)

    def sharding(array):
        free, dims = draw(st.permutations(axes)), []
        for _ in array.shape:
            cut = draw(st.integers(0, len(free)))
            dims.append(tuple(free[:cut]) or None)
            free = free[cut:]
        return NamedSharding(mesh, PartitionSpec(*dims))

    return {name: sharding(array) for name, array in ARRAYS.items()}


def write(path, state):
    snapshot = HostSnapshots().take(state)
    path.mkdir()
    written = Archive().write_share(path, snapshot, process=0, processes=1)
    Archive().complete(path, snapshot.layout, written, {}, processes=1)


def read(path, shardings):
    saved = saved_arrays(Archive().metadata(path))
    wanted = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=shardings[name])
        for name, array in saved.items()
    }
    return read_onto_devices(path, saved, wanted)


def assert_restored(restored, shardings):
    assert restored.keys() == ARRAYS.keys()
    for name, expected in ARRAYS.items():
        array = restored[name]
        assert array.sharding == shardings[name]
        assert array.dtype == expected.dtype
        for shard in array.addressable_shards:
            piece = np.asarray(shard.data)
            assert piece.tobytes() == expected[shard.index].tobytes(), name


@pytest.fixture(scope="module")
def new_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    numbers = itertools.count()
    return lambda: folder / str(next(numbers))


@given(layouts(), layouts(), st.sampled_from([1 << 3, 1 << 8, 8 << 20]), st.booleans())
@settings(max_examples=40)
def test_any_sharding_is_restored_under_any_other_bit_for_bit(
    new_path, before, after, block_bytes, by_host
):
    with pytest.MonkeyPatch.context() as patch:
        if by_host:  # As for devices with memory of their own.
            patch.setattr(device_arrays, "_on_cpu", lambda *_: None)
        # Arrays of many blocks, as large ones are.
        patch.setattr(arrays_file, "_BLOCK_BYTES", block_bytes)
        path = new_path()
        write(path, {n: jax.device_put(a, before[n]) for n, a in ARRAYS.items()})
        assert_restored(read(path, after), after)


def test_a_restored_state_can_be_donated_and_restored_again(new_path):
    """Its memory belongs to its devices alone: steps write into it."""
    mesh = Mesh(np.array(jax.devices()[:8]).reshape(2, 4), ("data", "fsdp"))
    shardings = dict.fromkeys(ARRAYS, NamedSharding(mesh, PartitionSpec()))
    shardings["params/matrix"] = NamedSharding(mesh, PartitionSpec("fsdp"))
    path = new_path()
    write(path, ARRAYS)
    first, second = read(path, shardings), read(path, shardings)

    def places(state):
        return [
            shard.data.unsafe_buffer_pointer()
            for array in state.values()
            if array.size
            for shard in array.addressable_shards
        ]

    buffers = [*places(first), *places(second)]
    assert len(set(buffers)) == len(buffers)
    matrix = first["params/matrix"]
    before = places({"": matrix})
    step = jax.jit(lambda array: array + 1, donate_argnums=0)
    for _ in range(3):
        matrix = step(matrix)
    # Donated, not copied: XLA refuses memory that is not its own.
    assert first["params/matrix"].is_deleted()
    assert sorted(places({"": matrix})) == sorted(before)
    np.testing.assert_array_equal(
        np.asarray(matrix), ARRAYS["params/matrix"] + 1 + 1 + 1
    )
    del first
    assert_restored(second, shardings)
    assert_restored(read(path, shardings), shardings)


MEMORY = """
import sys
from pathlib import Path

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from specflow.output.checkpoint.archive import Archive
from specflow.output.checkpoint.device_arrays import read_onto_devices
from specflow.output.checkpoint.saved_arrays import saved_arrays


def kilobytes(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


jax.config.update("jax_num_cpu_devices", 8)
path, devices = Path(sys.argv[1]), int(sys.argv[2])
saved = saved_arrays(Archive().metadata(path))
mesh = jax.make_mesh((devices,), ("fsdp",), devices=jax.devices()[:devices])
sharding = NamedSharding(mesh, PartitionSpec(None, "fsdp"))
wanted = {
    name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)
    for name, array in saved.items()
}
jax.block_until_ready(jax.device_put(np.ones(8), mesh.devices.flat[0]))
before = kilobytes("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # The peak counts from here.
restored = read_onto_devices(path, saved, wanted)
jax.block_until_ready(restored)
state = sum(array.nbytes for array in saved.values()) / 1024
print((kilobytes("VmHWM") - before) / state)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("devices", [1, 8])
def test_restoring_takes_hardly_more_memory_than_the_state(devices, large):
    """Written by one device: eight read other pieces than were written."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", MEMORY, str(large), str(devices)]
    ended = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    )
    peak = float(ended.stdout)
    # 192 MiB, half of it in one array; two blocks of 8 MiB are read at once.
    assert 0.95 < peak < 1.15


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "1"
    rows = {"params/embed": 24576, "params/a": 8192, "params/b": 16384}
    state = {
        name: np.arange(count * 1024, dtype=np.float32).reshape(count, 1024)
        for name, count in rows.items()
    }
    write(path, state)
    return path


def test_memory_in_use_at_once_is_limited():
    budget, used, most = _Budget(10), 0, 0
    lock = threading.Lock()

    def work(count):
        nonlocal used, most
        for _ in range(20):
            with budget.use(count):
                with lock:
                    used += min(count, 10)
                    most = max(most, used)
                with lock:
                    used -= min(count, 10)

    counts = (3, 5, 8, 25)
    threads = [threading.Thread(target=work, args=(count,)) for count in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert 3 <= most <= 10
