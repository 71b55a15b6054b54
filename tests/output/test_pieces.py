"""A checkpoint read piece by piece, as several processes read it.

Eight devices of one process replace those of several: the pieces are the same, and
`tests/distributed` reads with real ones.
"""

from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from specflow.output.checkpoint.archive import (
    Archive,
    DamagedError,
    saved_arrays,
)
from specflow.output.checkpoint.joint import write_share
from specflow.output.checkpoint.pieces import read_together
from specflow.output.checkpoint.snapshot import own_snapshot

MESH = Mesh(np.array(jax.devices()[:8]).reshape(2, 4), ("a", "b"))
LAID = {
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
        name: NamedSharding(MESH, LAID[how] if name == MATRIX else P())
        for name in ARRAYS
    }


def write(folder: Path, how: str) -> Path:
    archive = Archive()
    if how == ALONE:
        archive.write(folder / "1", ARRAYS, {})
    else:
        shares = own_snapshot(jax.device_put(ARRAYS, shardings(how)))
        (folder / "1" / "state").mkdir(parents=True)
        write_share(folder / "1", shares)
        archive.join(folder / "1", shares, {})
    archive.close()
    return folder / "1"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The checkpoint of each sharding."""
    return {
        how: write(tmp_path_factory.mktemp("saved in 100%"), how)
        for how in (*LAID, ALONE)
    }


def read(path: Path, how: str) -> dict[str, jax.Array]:
    archive = Archive()
    saved = saved_arrays(archive.metadata(path))
    archive.close()
    wanted = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)
        for (name, array), sharding in zip(
            ARRAYS.items(), shardings(how).values(), strict=True
        )
    }
    return read_together(path, saved, wanted)


@pytest.mark.parametrize("to", LAID)
@pytest.mark.parametrize("of", [*LAID, ALONE])
def test_a_checkpoint_is_read_with_any_sharding(written, of, to):
    found = read(written[of], to)
    assert found.keys() == ARRAYS.keys()
    for name, expected in ARRAYS.items():
        assert found[name].sharding.is_equivalent_to(shardings(to)[name], expected.ndim)
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(np.asarray(found[name]), expected)


@pytest.mark.parametrize("to", LAID)
@pytest.mark.parametrize("of", ["both", ALONE])
def test_a_changed_byte_is_detected_with_any_sharding(of, to, tmp_path):
    path = write(tmp_path, of)
    largest = max(path.glob("state/**/d/*"), key=lambda file: file.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    with pytest.raises(DamagedError) as error:
        read(path, to)
    assert "\n" not in str(error.value)


def test_orbax_reads_pieces_without_specflow(written):
    import orbax.checkpoint as ocp

    full = {name: array for name, array in ARRAYS.items() if array.size}
    folder = written["both"].parent
    with ocp.CheckpointManager(folder) as manager:
        assert manager.all_steps() == [1]
        restore = ocp.args.StandardRestore(full)
        found = manager.restore(1, args=ocp.args.Composite(state=restore)).state
    for name, expected in full.items():
        np.testing.assert_array_equal(found[name], expected)


def test_a_missing_file_is_damage(tmp_path):
    path = write(tmp_path, "both")
    for file in path.glob("state/**/d/*"):
        file.unlink()
    with pytest.raises(DamagedError, match="and 2 more"):
        read(path, "rows")


def test_no_read_is_larger_than_a_wanted_piece(written, monkeypatch):
    """Bounds the memory of a restore by the largest wanted piece."""
    import tensorstore

    sizes, asked = [], tensorstore.TensorStore.__getitem__

    def noting(store, index):
        part = asked(store, index)
        sizes.append(part.size)
        return part

    monkeypatch.setattr(tensorstore.TensorStore, "__getitem__", noting)
    read(written["both"], "both")
    assert max(sizes) == 16 * 12 // 8
