"""A checkpoint read piece by piece, as several processes read it.

Eight devices of one process replace those of several: the pieces are the same, and
`tests/distributed` reads with real ones.
"""

import os
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from specflow.output.checkpoint import arrays_file
from specflow.output.checkpoint.archive import Archive
from specflow.output.checkpoint.device_arrays import read_onto_devices
from specflow.output.checkpoint.saved_arrays import (
    DamagedError,
    StoredArrays,
    saved_arrays,
)
from specflow.output.checkpoint.snapshot import HostSnapshots
from specflow.output.checkpoint.state_layout import bounds_of

MESH = Mesh(np.array(jax.devices()[:8]).reshape(2, 4), ("a", "b"))
PARTITIONS = {
    "whole": P(),
    "rows": P("a"),
    "columns": P(None, "b"),
    "both": P("a", "b"),
    "one dimension": P(("a", "b")),
}
"""Sharding of the matrix; the other arrays are replicated."""
ALONE = "by one process"
RNG = np.random.default_rng(0)
ARRAYS = {
    "params/layers.0.kernel": RNG.standard_normal((16, 12), np.float32),
    "params/half": RNG.standard_normal((3, 5)).astype(ml_dtypes.bfloat16),
    "opt_state/[0]/count": np.array(7, np.int32),
    "params/nothing": np.empty((0, 4), np.float32),
}
MATRIX = "params/layers.0.kernel"


def shardings(how: str) -> dict[str, NamedSharding]:
    return {
        name: NamedSharding(MESH, PARTITIONS[how] if name == MATRIX else P())
        for name in ARRAYS
    }


def write(folder: Path, how: str) -> Path:
    state = ARRAYS if how == ALONE else jax.device_put(ARRAYS, shardings(how))
    snapshot = HostSnapshots().take(state)
    path = folder / "1"
    path.mkdir()
    archive = Archive()
    written = archive.write_share(path, snapshot, process=0, processes=1)
    archive.complete(path, snapshot.layout, written, {}, processes=1)
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The checkpoint of each sharding."""
    return {
        how: write(tmp_path_factory.mktemp("saved in 100%"), how)
        for how in (*PARTITIONS, ALONE)
    }


def read(path: Path, how: str) -> dict[str, jax.Array]:
    saved = saved_arrays(Archive().metadata(path))
    wanted = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)
        for (name, array), sharding in zip(
            ARRAYS.items(), shardings(how).values(), strict=True
        )
    }
    return read_onto_devices(path, saved, wanted)


@pytest.mark.parametrize("to", PARTITIONS)
@pytest.mark.parametrize("of", [*PARTITIONS, ALONE])
def test_a_checkpoint_is_read_with_any_sharding(written, of, to):
    found = read(written[of], to)
    assert found.keys() == ARRAYS.keys()
    for name, expected in ARRAYS.items():
        assert found[name].sharding.is_equivalent_to(shardings(to)[name], expected.ndim)
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(np.asarray(found[name]), expected)


@pytest.mark.parametrize("to", PARTITIONS)
@pytest.mark.parametrize("of", ["both", ALONE])
def test_a_changed_byte_is_detected_with_any_sharding(of, to, tmp_path):
    path = write(tmp_path, of)
    file = path / "arrays-00000-of-00001.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedError) as error:
        read(path, to)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_damage(tmp_path):
    path = write(tmp_path, "both")
    (path / "arrays-00000-of-00001.safetensors").unlink()
    with pytest.raises(DamagedError, match=r"arrays-.*: No such file or directory"):
        read(path, "rows")


@pytest.mark.parametrize("to", PARTITIONS)
@pytest.mark.parametrize("of", [*PARTITIONS, ALONE])
def test_one_part_is_read_without_the_others(written, of, to, monkeypatch):
    """As one of several processes reads: the shard of one device, nothing else."""
    monkeypatch.setattr(arrays_file, "_SHORT_ROW_BYTES", 4)
    expected = ARRAYS[MATRIX]
    count, preadv = 0, os.preadv

    def counted(descriptor, buffers, offset):
        nonlocal count
        read = preadv(descriptor, buffers, offset)
        count += read
        return read

    saved = saved_arrays(Archive().metadata(written[of]))
    with StoredArrays(written[of], saved) as stored:
        monkeypatch.setattr(os, "preadv", counted)
        indices = shardings(to)[MATRIX].devices_indices_map(expected.shape)
        for index in indices.values():
            count = 0
            bounds = bounds_of(index, expected.shape)
            target = np.empty(expected[index].shape, expected.dtype)
            stored.fill(MATRIX, {bounds: target})
            np.testing.assert_array_equal(target, expected[index])
            assert count == target.nbytes


@pytest.mark.parametrize("of", [*PARTITIONS, ALONE])
def test_every_damaged_array_is_found_with_memory_for_none(of, tmp_path):
    path = write(tmp_path, of)
    assert Archive().verify(path) == []
    file = path / "arrays-00000-of-00001.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1  # The last array of the file.
    file.write_bytes(content)
    assert Archive().verify(path) == [f"{MATRIX} changed since it was written"]
    file.write_bytes(content[:-1])
    (reason,) = Archive().verify(path)
    assert reason == f"{file.name}: its size has changed since it was written"
