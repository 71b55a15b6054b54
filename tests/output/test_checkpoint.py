"""Checkpoints: saved, restored on any mesh, retained, superseded and refused."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from specflow.config.sections.output import BestConfig
from specflow.diagnostics.errors import CheckpointError, OutputError
from specflow.output import Checkpointer
from specflow.output.checkpoint import retention
from specflow.output.checkpoint.archive import FORMAT, Archive
from specflow.output.checkpoint.arrays_file import header_of, write_arrays
from specflow.output.checkpoint.best_checkpoint import best_step
from specflow.output.checkpoint.snapshot import HostSnapshots, differences

SMALL = {"x": jnp.ones(2)}


def state_of(value: float) -> dict:
    """A training state: flat by dotted paths, with several dtypes."""
    return {
        "params": {
            "layers.0.kernel": jnp.arange(64, dtype=jnp.float32).reshape(8, 8) + value,
            "layers.0.bias": jnp.full((8,), value, jnp.bfloat16),
            "empty": jnp.zeros((0, 3)),
        },
        "optimizer": {"0.count": jnp.int32(value), "0.mu": {"a.b": jnp.ones((16, 8))}},
        "rng": {"dropout": jnp.array([1, 2], jnp.uint32)},
    }


def abstract_of(state, sharding=None):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), state
    )


def assert_same(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@contextlib.contextmanager
def saved(directory: Path, *steps: int, **options):
    """A checkpointer that has saved `state_of(step)` for each of these steps."""
    notes: list[str] = []
    with Checkpointer(directory, on_warning=notes.append, **options) as checkpointer:
        for step in steps:
            checkpointer.save(step, state_of(step), data={"next_index": step})
        checkpointer.wait()
        checkpointer.notes = notes  # type: ignore[attr-defined]
        yield checkpointer


def test_a_state_is_restored_bit_for_bit_with_its_data_position(tmp_path):
    with saved(tmp_path / "checkpoints", 10, 20) as checkpointer:
        restored = checkpointer.restore(abstract_of(state_of(0)))
    assert restored.step == 20
    assert restored.data == {"next_index": 20}
    assert_same(restored.state, state_of(20))


def test_an_explicit_step_is_restored(tmp_path):
    with saved(tmp_path, 10, 20) as checkpointer:
        restored = checkpointer.restore(abstract_of(state_of(0)), step=10)
    assert restored.step == 10
    assert_same(restored.state, state_of(10))


@pytest.mark.parametrize("target", ["one device", "another spec", "unspecified"])
def test_a_state_sharded_over_eight_devices_is_restored_on_any_mesh(tmp_path, target):
    mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "fsdp"))
    values = np.arange(16 * 32, dtype=np.float32).reshape(16, 32)
    split = NamedSharding(mesh, PartitionSpec(("data", "fsdp"), None))
    state = {
        "params": {"w": jax.device_put(values, split)},
        "copied": jax.device_put(values[0], NamedSharding(mesh, PartitionSpec())),
    }
    wanted = {
        "one device": SingleDeviceSharding(jax.devices()[3]),
        "another spec": NamedSharding(mesh, PartitionSpec("fsdp")),
        "unspecified": None,
    }[target]
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer.save(1, state)
        restored = checkpointer.restore(abstract_of(state, wanted)).state
    assert_same(restored, state)
    if wanted is not None:
        assert restored["params"]["w"].sharding == wanted


def test_the_state_may_be_donated_right_after_save(tmp_path):
    step = jax.jit(lambda x: x * 2 + 1, donate_argnums=0)
    value = jnp.arange(2**18, dtype=jnp.float32)
    expected = np.array(value)
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer.save(1, {"x": value})
        for _ in range(5):
            value = step(value)
        value.block_until_ready()
        restored = checkpointer.restore(
            {"x": jax.ShapeDtypeStruct((2**18,), "float32")}
        )
    np.testing.assert_array_equal(np.asarray(restored.state["x"]), expected)


def test_a_restored_state_may_be_donated_and_read_again(tmp_path):
    step = jax.jit(lambda x: x * 2 + 1, donate_argnums=0)
    shape = jax.ShapeDtypeStruct((2**18,), "float32")
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer.save(1, {"x": jnp.arange(2**18, dtype=jnp.float32)})
        first = step(checkpointer.restore({"x": shape}).state["x"])
        again = step(checkpointer.restore({"x": shape}).state["x"])
    np.testing.assert_array_equal(np.asarray(first), np.arange(2**18) * 2.0 + 1)
    np.testing.assert_array_equal(np.asarray(again), np.asarray(first))


def test_a_snapshot_shares_no_memory_with_its_source():
    mine = np.zeros(4)
    theirs = jnp.zeros(4)
    snapshot = HostSnapshots().take({"mine": mine, "theirs": theirs, "number": 3})
    copies = dict(zip(snapshot.layout.arrays, snapshot.pieces, strict=True))
    assert not np.shares_memory(copies["mine"], mine)
    assert not np.shares_memory(copies["theirs"], np.asarray(theirs))
    assert copies["number"] == 3


def test_the_next_snapshot_is_taken_into_the_same_memory():
    snapshots = HostSnapshots()

    def taken(value: float, size: int = 4) -> np.ndarray:
        state = {"x": jnp.full(size, value)}
        return snapshots.take(state).pieces[0]

    first = taken(1.0)
    second = taken(2.0)
    assert np.shares_memory(first, second)
    np.testing.assert_array_equal(second, np.full(4, 2.0, np.float32))
    np.testing.assert_array_equal(taken(3.0, size=5), np.full(5, 3.0, np.float32))


def test_a_share_has_every_piece_once_and_shares_no_memory_with_its_source():
    mesh = Mesh(np.array(jax.devices()[:8]).reshape(2, 4), ("a", "b"))
    # Replicated over the second axis: four devices have each piece.
    sharding = NamedSharding(mesh, PartitionSpec("a"))
    array = jax.device_put(np.arange(8, dtype=np.float32).reshape(4, 2), sharding)
    snapshot = HostSnapshots().take({"x": array})
    assert snapshot.layout.arrays == {"x": (np.float32, (4, 2))}
    bounds = [piece.bounds for piece in snapshot.layout.pieces]
    pieces = [piece.tolist() for piece in snapshot.pieces]
    assert dict(zip(bounds, pieces, strict=True)) == {
        ((0, 2), (0, 2)): [[0, 1], [2, 3]],
        ((2, 4), (0, 2)): [[4, 5], [6, 7]],
    }
    assert len(snapshot.pieces) == 2
    for shard in array.addressable_shards:
        for piece in snapshot.pieces:
            assert not np.shares_memory(piece, np.asarray(shard.data))


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["float32", "int8", "bfloat16"]),
                "shape": st.sampled_from([(), (4,), (4, 2), (0, 3)]),
                "kind": st.sampled_from(["numpy", "device", "sharded", "replicated"]),
                "names": st.sampled_from([("a", "b"), ("b", "c"), ("a",)]),
            }
        ),
        min_size=2,
        max_size=5,
    )
)
@settings(max_examples=25)
def test_a_snapshot_is_that_of_its_state_whatever_was_taken_before(structures):
    """States of one structure share a layout; those of others must not."""
    mesh = Mesh(np.array(jax.devices()[:4]), ("rows",))
    snapshots = HostSnapshots()
    for seed, structure in enumerate(structures):
        shape, dtype = structure["shape"], jnp.dtype(structure["dtype"])
        kind, names = structure["kind"], structure["names"]
        values = {
            name: np.random.default_rng([seed, place])
            .integers(0, 9, shape)
            .astype(dtype)
            for place, name in enumerate(names)
        }
        rows = PartitionSpec(*(("rows",) if shape[:1] == (4,) else ()))
        state = {
            "numpy": lambda value: value,
            "device": jnp.asarray,
            "sharded": lambda value, rows=rows: jax.device_put(
                value, NamedSharding(mesh, rows)
            ),
            "replicated": lambda value: jax.device_put(
                value, NamedSharding(mesh, PartitionSpec())
            ),
        }[kind]
        snapshot = snapshots.take({name: state(v) for name, v in values.items()})
        assert dict(snapshot.layout.arrays) == {n: (dtype, shape) for n in names}
        found = {name: np.zeros(shape, dtype) for name in names}
        for piece, copy in zip(snapshot.layout.pieces, snapshot.pieces, strict=True):
            found[piece.name][tuple(slice(*pair) for pair in piece.bounds)] = copy
        for name in names:
            np.testing.assert_array_equal(found[name], values[name])


def test_arrays_that_are_written_together_are_found_after_a_short_write(
    tmp_path, monkeypatch
):
    arrays = [np.arange(size, dtype=np.int16) for size in (5, 0, 3000, 7)]
    header = header_of({str(i): (a.dtype, a.shape) for i, a in enumerate(arrays)})
    expected = header + b"".join(array.tobytes() for array in arrays)
    writev = os.writev
    for limit in (1, len(header), len(header) + 10, len(header) + 15):
        monkeypatch.setattr(
            os,
            "writev",
            lambda file, blocks, limit=limit: os.write(file, b"".join(blocks)[:limit]),
        )
        write_arrays(tmp_path / str(limit), header, arrays)
        assert (tmp_path / str(limit)).read_bytes() == expected
    monkeypatch.setattr(os, "writev", writev)


def test_a_tagged_checkpoint_whose_removal_was_interrupted_is_kept(tmp_path):
    """Its tag was set while it was renamed; a removal without a tag is finished."""
    for step in (1, 2):
        folder = tmp_path / f"deleting-{step}"
        (folder / "tags").mkdir(parents=True)
    (tmp_path / "deleting-1" / "tags" / "release").touch()
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer._writer.resume_from(1)
        checkpointer.save(3, SMALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "3"]
    assert (tmp_path / "1" / "tags" / "release").exists()


def test_save_copies_the_data_position(tmp_path):
    place = {"next_index": 7, "shuffle": [1, 2**100]}
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer.save(1, {"x": jnp.ones(2)}, data=place)
        place["next_index"] = 8
        restored = checkpointer.restore(abstract_of({"x": jnp.ones(2)}))
    assert restored.data == {"next_index": 7, "shuffle": [1, 2**100]}


@pytest.mark.parametrize("sharded", [False, True])
def test_a_file_of_arrays_is_read_by_the_rules_of_its_format(tmp_path, sharded):
    """By the published layout: size of the header, the header, the bytes."""
    mesh = Mesh(np.array(jax.devices()[:2]), ("a",))
    spec = PartitionSpec("a") if sharded else PartitionSpec()
    kernel = np.arange(8, dtype=np.float32).reshape(4, 2)
    state = {
        "params": {"kernel": jax.device_put(kernel, NamedSharding(mesh, spec))},
        "four_bits": jnp.arange(3, dtype=jnp.int4),
        "half": jnp.ones(3, jnp.bfloat16),
    }
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer.save(1, state)
    content = (tmp_path / "1" / "arrays-00000-of-00001.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    assert (8 + size) % 8 == 0
    read = {
        name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }
    kernels = (
        {"params/kernel[0:2,0:2]": kernel[:2], "params/kernel[2:4,0:2]": kernel[2:]}
        if sharded
        else {"params/kernel": kernel}
    )
    assert read == {
        "four_bits": ("U8", [3], bytes([0, 1, 2])),
        "half": ("BF16", [3], bytes([0x80, 0x3F] * 3)),
        **{
            name: ("F32", list(part.shape), part.tobytes())
            for name, part in kernels.items()
        },
    }
    ends = sorted(tuple(entry["data_offsets"]) for entry in header.values())
    assert [start for start, _ in ends] == [0, *(stop for _, stop in ends[:-1])]
    assert ends[-1][1] == len(data)


DTYPES = [
    *("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32"),
    *("float16", "bfloat16", "float32", "complex64", "int4", "uint4", "int2", "uint2"),
    *("float8_e4m3fn", "float8_e4m3", "float8_e5m2", "float8_e8m0fnu", "float4_e2m1fn"),
    *("float8_e3m4", "float8_e4m3b11fnuz", "float8_e4m3fnuz", "float8_e5m2fnuz"),
]


@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 1, 3)])
def test_every_dtype_of_jax_is_saved_and_restored(tmp_path, shape):
    values = np.arange(int(np.prod(shape))).reshape(shape) % 2
    state = {dtype: jnp.asarray(values, dtype) for dtype in DTYPES}
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer.save(1, state)
        restored = checkpointer.restore(abstract_of(state)).state
    for dtype, array in state.items():
        assert restored[dtype].dtype == array.dtype
        assert restored[dtype].shape == shape
        assert np.asarray(restored[dtype]).tobytes() == np.asarray(array).tobytes()


def test_numpy_arrays_and_numbers_are_saved_in_native_byte_order(tmp_path):
    state = {
        "big": np.array([1.5, 2.5], ">f4"),
        "scalar": np.float32(3),
        "number": 4,
        "part": np.arange(10.0, dtype=np.float32)[::3],
        "transposed": np.arange(6.0, dtype=np.float32).reshape(2, 3).T,
    }
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer.save(1, state)
        arrays = checkpointer.arrays()
    for name, expected in state.items():
        np.testing.assert_array_equal(arrays[name], expected)
        assert arrays[name].dtype == np.asarray(expected).dtype.newbyteorder("=")


@pytest.mark.parametrize(
    ("leaf", "shown"),
    [
        ("adam", "str"),
        (np.array(["a"]), "<U1[1]"),
        (np.array(["2020-01-01"], "M8[D]"), "datetime64[D][1]"),
        (np.array([object()]), "object[1]"),
        (np.zeros(1, [("a", "f4")]), "[('a', '<f4')][1]"),
        (jax.random.key(0), "key<fry>[]"),
    ],
)
def test_a_leaf_that_is_no_array_of_numbers_is_refused_by_name(tmp_path, leaf, shown):
    with (
        Checkpointer(tmp_path) as checkpointer,
        pytest.raises(CheckpointError) as error,
    ):
        checkpointer.save(1, {"params": {"w": jnp.ones(2)}, "state": {"name": leaf}})
    assert str(error.value) == (
        f"state/name: got {shown}, which a checkpoint cannot hold. Expected an array "
        "of numbers. Keep text out of the model state; save the data of a random key, "
        "jax.random.key_data(key)."
    )
    assert checkpointer.steps() == []


FORMATS = Path(__file__).parent / "checkpoint_formats"
"""A checkpoint of each version of the format, as the specflow of its time wrote it."""


def test_a_stored_checkpoint_of_the_current_format_is_restored():
    state = {
        "params": {
            "layers.0.kernel": jnp.arange(6, dtype=jnp.float32).reshape(2, 3),
            "layers.0.bias": jnp.ones(3, jnp.bfloat16),
        },
        "opt_state": {"0.count": jnp.int32(7)},
        "step": jnp.int32(10),
    }
    with Checkpointer(FORMATS / str(FORMAT)) as checkpointer:
        restored = checkpointer.restore(abstract_of(state))
        assert checkpointer.data_position(10) == {"next_step": 10}
    assert restored.step == 10
    assert_same(restored.state, state)


@pytest.mark.parametrize("version", range(1, FORMAT))
def test_a_stored_checkpoint_of_an_earlier_format_is_refused_by_its_version(version):
    with (
        Checkpointer(FORMATS / str(version)) as checkpointer,
        pytest.raises(CheckpointError) as error,
    ):
        checkpointer.restore(SMALL)
    assert str(error.value) == (
        f"{FORMATS}/{version}/10: has version {version} of the checkpoint format. "
        f"Expected version {FORMAT}. Restore it with the specflow that wrote it, or "
        "train again in another directory."
    )


# -- retention


def test_the_newest_are_kept(tmp_path):
    with saved(tmp_path, 1, 2, 3, 4, keep=2) as checkpointer:
        assert checkpointer.steps() == [3, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "4"]


def test_keep_0_keeps_all(tmp_path):
    with saved(tmp_path, 1, 2, 3, 4, keep=0) as checkpointer:
        assert checkpointer.steps() == [1, 2, 3, 4]


def test_one_of_each_period_is_kept_forever_by_later_processes_too(tmp_path):
    with saved(tmp_path, 1, 2, 3, keep=1, keep_every_s=3600.0) as checkpointer:
        assert checkpointer.steps() == [3]
    with saved(tmp_path, 4, 5, 6, keep=1, keep_every_s=0.0) as checkpointer:
        # 3 came after the first period began, which was with the first object.
        assert checkpointer.steps() == [3, 4, 5, 6]
    with saved(tmp_path, 7, 8, keep=1) as checkpointer:
        assert checkpointer.steps() == [3, 4, 5, 6, 8]


def preserved(times, period, began):
    """Steps kept by TensorFlow's CheckpointManager with max_to_keep=1: by its source, a
    checkpoint is preserved if it was saved a period after the last preserved one.
    """
    kept, last = [], began
    for step, time_s in list(times.items())[:-1]:
        if time_s - period >= last:
            kept.append(step)
            last = time_s
    return [*kept, max(times)]


@pytest.mark.parametrize("each", [1, 2, 5, 20])
@pytest.mark.parametrize("period", [90.0, 100.0, 350.0, 1e9])
def test_periods_are_counted_over_all_starts(tmp_path, monkeypatch, each, period):
    """Twenty checkpoints, one every 100 s, by one process or by several in turn."""
    began = 1_000_000.0
    clock = [began]
    monkeypatch.setattr(retention.time, "time", lambda: clock[0])
    times = {step: began + 100.0 * step for step in range(1, 21)}
    for first in range(1, 21, each):
        with Checkpointer(tmp_path, keep=1, keep_every_s=period) as checkpointer:
            if first > 1:
                checkpointer.restore(abstract_of(SMALL))
            for step in range(first, first + each):
                clock[0] = times[step]
                checkpointer.save(step, SMALL)
                checkpointer.wait()
            assert checkpointer.steps()[-1] == first + each - 1
    assert checkpointer.steps() == preserved(times, period, began)


def test_a_clock_that_was_set_back_does_not_end_the_periods(tmp_path, monkeypatch):
    """As in TensorFlow: a checkpoint of the future counts as one of now."""
    monkeypatch.setattr(retention.time, "time", lambda: 9e9)
    with saved(tmp_path, 1, keep=1, keep_every_s=100.0):
        pass
    monkeypatch.undo()
    with Checkpointer(tmp_path, keep=1, keep_every_s=0.0) as later:
        later.restore(abstract_of(state_of(1)))
        for step in (2, 3):
            later.save(step, state_of(step))
        later.wait()
        assert 2 in later.steps()


def test_the_best_is_kept_beside_the_newest_also_by_a_later_process(tmp_path):
    best = BestConfig(metric="accuracy", order="highest")
    values = {1: 0.5, 2: 0.9, 3: float("nan"), 4: 0.7}
    with Checkpointer(tmp_path, keep=1, best=best) as checkpointer:
        for step, value in values.items():
            metrics = {"accuracy": value, "confusion": np.eye(2)}
            checkpointer.save(step, {"x": jnp.ones(2)}, metrics=metrics)
        checkpointer.wait()
        assert checkpointer.steps() == [2, 4]
    with Checkpointer(tmp_path, keep=1, best=best) as later:
        later.restore(abstract_of({"x": jnp.ones(2)}))
        later.save(5, {"x": jnp.ones(2)}, metrics={"accuracy": 0.8})
        later.save(6, {"x": jnp.ones(2)})
        later.wait()
        assert later.steps() == [2, 6]


@pytest.fixture
def slow_disk(monkeypatch):
    """Writes of checkpoints wait until the event is set."""
    released = threading.Event()
    write = Archive.write_share

    def wait_and_write(self, *args, **kwargs):
        assert released.wait(60)
        return write(self, *args, **kwargs)

    monkeypatch.setattr(Archive, "write_share", wait_and_write)
    yield released
    released.set()


def test_a_running_save_is_compared_with_new_metrics_without_waiting(
    tmp_path, slow_disk
):
    with Checkpointer(tmp_path, keep=1, best=BestConfig(metric="loss")) as saves:
        slow_disk.set()
        saves.save(1, SMALL, metrics={"loss": 0.5})
        saves.wait()
        slow_disk.clear()
        saves.save(2, SMALL, metrics={"loss": 0.3})
        assert not saves.is_new_best({"loss": 0.4})
        assert saves.is_new_best({"loss": 0.2})
        saves.add_metrics(2, {"loss": 0.3})  # What the save writes already.
        saves.add_metrics(3, {"loss": 0.1})  # A step without a checkpoint.
        assert saves._writer.is_running()
        slow_disk.set()
        saves.wait()
        assert saves.best() == (2, "loss", 0.3)


def test_a_failed_save_does_not_count_as_the_best(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("No space left on device")

    with Checkpointer(tmp_path, best=BestConfig(metric="loss")) as saves:
        saves.save(1, SMALL, metrics={"loss": 0.5})
        saves.wait()
        with monkeypatch.context() as patched:
            patched.setattr(Archive, "write_share", refuse)
            saves.save(2, SMALL, metrics={"loss": 0.3})
            with pytest.raises(OutputError):
                saves.wait()
        assert saves.is_new_best({"loss": 0.4})
        assert saves.best() == (1, "loss", 0.5)


@given(st.dictionaries(st.integers(0, 99), st.floats() | st.none()))
def test_the_best_value_is_the_lowest_or_highest_that_is_defined(values):
    # By definition: compared with min and max of Python.
    defined = [v for v in values.values() if v is not None and v == v]
    for order, expected in (("lowest", min), ("highest", max)):
        best = best_step(values, BestConfig(order=order))
        assert (best is None) == (not defined)
        if best is not None:
            assert values[best] == expected(defined)


# -- resuming from an earlier step


def test_an_existing_step_is_not_written_again(tmp_path):
    with saved(tmp_path, 10) as checkpointer:
        before = (tmp_path / "10").stat().st_mtime_ns
        checkpointer.save(10, state_of(0))
        checkpointer.wait()
    with Checkpointer(tmp_path) as later:
        later.restore(abstract_of(state_of(0)))
        later.save(10, state_of(0))
        later.wait()
    assert (tmp_path / "10").stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10"]


def test_resuming_from_an_earlier_step_supersedes_the_later_ones(tmp_path):
    with saved(tmp_path, 10, 20, 30):
        pass
    with Checkpointer(tmp_path) as later:
        later.restore(abstract_of(state_of(0)), step=10)
        later.save(20, state_of(7))
        restored = later.restore(abstract_of(state_of(0)))
    assert restored.step == 20
    assert_same(restored.state, state_of(7))
    superseded = sorted(path.name for path in (tmp_path / "superseded").iterdir())
    assert superseded == ["20-1", "30-1"]


# -- refusals


def test_a_missing_checkpoint_is_reported_without_importing_jax(tmp_path):
    script = (
        "import sys\n"
        "from specflow.output import Checkpointer\n"
        "with Checkpointer(sys.argv[1]) as checkpointer:\n"
        "    print(checkpointer.latest_step(), checkpointer.steps())\n"
        "print([m for m in ('jax', 'orbax', 'rich', 'matplotlib') if m in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "none"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert output.stdout == "None []\n[]\n"
    assert not (tmp_path / "none").exists()


def test_restoring_a_missing_step_names_the_existing_ones(tmp_path):
    with Checkpointer(tmp_path) as checkpointer:
        with pytest.raises(CheckpointError) as none:
            checkpointer.restore({})
        checkpointer.save(5, {"x": jnp.ones(2)})
        with pytest.raises(CheckpointError) as other:
            checkpointer.restore({}, step=7)
    assert str(none.value) == (
        f"{tmp_path}: no checkpoint. Train first, or name another run."
    )
    assert str(other.value) == f"{tmp_path}: no checkpoint of step 7; there are 5."


def test_a_checkpoint_of_another_model_lists_what_differs_on_both_sides(tmp_path):
    with saved(tmp_path, 10, 20) as checkpointer:
        other = abstract_of(state_of(0))
        other["params"]["layers.0.kernel"] = jax.ShapeDtypeStruct((8, 4), "float32")
        other["params"]["layers.1.bias"] = other["params"].pop("layers.0.bias")
        other["rng"]["dropout"] = jax.ShapeDtypeStruct((2,), "int32")
        with pytest.raises(CheckpointError) as error:
            checkpointer.restore(other)
    assert str(error.value) == (
        f"{tmp_path}/20: checkpoint of another model: 4 arrays differ (6 saved). "
        "Restore it with the config of its own run, or choose another output.dir.\n"
        "params/layers.0.bias: bfloat16[8] in the checkpoint, absent in the model.\n"
        "params/layers.0.kernel: float32[8,8] in the checkpoint, float32[8,4] in the "
        "model.\n"
        "params/layers.1.bias: absent in the checkpoint, bfloat16[8] in the model.\n"
        "rng/dropout: uint32[2] in the checkpoint, int32[2] in the model."
    )
    assert error.value.exit_code == 2


def test_equal_trees_have_no_differences_and_long_lists_are_truncated(tmp_path):
    arrays = {f"p{i:02}": np.ones(i) for i in range(15)}
    assert differences(arrays, arrays) == []
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer.save(1, arrays)
        with pytest.raises(CheckpointError) as error:
            checkpointer.restore({})
    lines = str(error.value).splitlines()
    assert len(lines) == 12
    assert lines[-1] == "... and 5 more."


# -- failing writes


@pytest.fixture
def tiny_disk(tmp_path):
    """A real file system of 1 MiB, which only root can mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def noise(count: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal(count, np.float32))


def test_a_full_disk_raises_in_the_next_call_and_keeps_earlier_checkpoints(
    tiny_disk, monkeypatch
):
    """Noticed by the write: as by a quota, which the file system does not report."""
    monkeypatch.setattr(
        "specflow.output.checkpoint.disk_space.free_bytes", lambda path: None
    )
    directory = tiny_disk / "checkpoints"
    small, large = noise(1_000), noise(1_000_000)
    checkpointer = Checkpointer(directory)
    checkpointer.save(1, {"x": small})
    checkpointer.save(2, {"x": large})
    with pytest.raises(OutputError) as error:
        checkpointer.save(3, {"x": small})
    assert str(error.value) == (
        f"{directory}/2: the checkpoint of step 2 was not written: No space left on "
        "device. Free disk space or fix the permissions and run the same command "
        "again; it resumes from step 1."
    )
    restored = checkpointer.restore(abstract_of({"x": small}))
    assert restored.step == 1
    np.testing.assert_array_equal(np.asarray(restored.state["x"]), np.asarray(small))
    checkpointer.save(3, {"x": small})  # The failed write left no files.
    checkpointer.close()
    assert checkpointer.steps() == [1, 3]


def test_a_failed_last_write_raises_in_close(tmp_path, monkeypatch):
    """Runs everywhere, unlike the tmpfs: the writer itself refuses."""

    def refuse(*args, **kwargs):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with saved(tmp_path, 1) as checkpointer:
        monkeypatch.setattr(Archive, "write_share", refuse)
        checkpointer.save(2, state_of(2))
        with pytest.raises(OutputError) as error:
            checkpointer.close()
    assert str(error.value) == (
        f"{tmp_path}/2: the checkpoint of step 2 was not written: Disk quota exceeded. "
        "Free disk space or fix the permissions and run the same command again; it "
        "resumes from step 1."
    )


def test_a_directory_that_cannot_be_created_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    checkpointer = Checkpointer(tmp_path / "file" / "checkpoints")
    checkpointer.save(1, {"x": jnp.ones(2)})
    with pytest.raises(OutputError) as error:
        checkpointer.close()
    assert str(error.value) == (
        f"{tmp_path}/file/checkpoints: cannot be written: Not a directory. Free disk "
        "space or fix the permissions, or choose another output.dir; what was written "
        "before is unchanged."
    )


_SAVE_FOR_EVER = """
import sys
import numpy as np
from specflow.output import Checkpointer, checkpoint

large = np.random.default_rng(0).standard_normal(8_000_000, np.float32)
with Checkpointer(sys.argv[1], keep=0) as checkpointer:
    checkpointer.save(1, {"x": np.ones(3, np.float32)})
    checkpointer.wait()
    print("ready", flush=True)
    for step in range(2, 1_000):
        checkpointer.save(step, {"x": large})
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.2])
def test_sigkill_while_saving_leaves_complete_checkpoints_only(tmp_path, delay_s):
    process = subprocess.Popen(
        [sys.executable, "-c", _SAVE_FOR_EVER, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    while not list(tmp_path.glob("*.partial")):
        time.sleep(0.001)
    time.sleep(delay_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    notes: list[str] = []
    with Checkpointer(tmp_path, keep=0, on_warning=notes.append) as checkpointer:
        steps = checkpointer.steps()
        assert steps == list(range(1, len(steps) + 1))
        size = 3 if steps[-1] == 1 else 8_000_000
        shape = {"x": jax.ShapeDtypeStruct((size,), "float32")}
        assert checkpointer.restore(shape).step == steps[-1]
        checkpointer.save(steps[-1] + 1, {"x": jnp.ones(2)})
        checkpointer.wait()
        assert checkpointer.latest_step() == steps[-1] + 1
    assert notes == []
    assert not [path for path in tmp_path.iterdir() if not path.name.isdigit()]
