"""A checkpoint read by several processes, each no more of it than it needs."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from specflow.distributed import collectives
from specflow.output.checkpoint.archive import DamagedError, SavedArray, reason
from specflow.output.checkpoint.snapshot import Bounds, array_digest, bounds_of

__all__ = ["read_together"]


def read_together(
    path: Path, saved: Mapping[str, SavedArray], wanted: Mapping[str, Any]
) -> dict[str, jax.Array]:
    """The arrays of a checkpoint over the devices of all processes; all call it.

    Each process reads what its devices hold. What was written as one piece, and is read
    as one, is held against its digest by those who read it; the other pieces are shared
    out to be read once more for that, so that every byte is looked at and no process
    needs memory for the whole.

    Args:
        path: the checkpoint.
        saved: what it says of each array.
        wanted: name -> `jax.ShapeDtypeStruct` with the sharding wanted now.

    Raises:
        DamagedError: an array cannot be read, or has changed: in every process,
            whichever of them saw it.
    """
    arrays: dict[str, jax.Array] = {}
    bad: list[str] = []
    for turn, (name, array) in enumerate(saved.items()):
        try:
            arrays[name] = _read(path / "state", name, array, wanted[name], turn)
        except DamagedError as error:
            bad.append(str(error))
    if found := [each for said in collectives.gather(bad) for each in said]:
        several = sorted(set(found))
        more = f" and {len(several) - 1} more" if len(several) > 1 else ""
        raise DamagedError(f"{several[0]}{more}")
    return arrays


def _read(
    folder: Path, name: str, saved: SavedArray, wanted: Any, turn: int
) -> jax.Array:
    everywhere = {
        device: bounds_of(index or (), saved.shape)
        for device, index in wanted.sharding.devices_indices_map(saved.shape).items()
    }
    own = {
        bounds
        for device, bounds in everywhere.items()
        if device.process_index == collectives.process_index()
    }
    digests = dict(_pieces(saved))
    unread = [piece for piece in digests if piece not in everywhere.values()]
    if 0 in saved.shape:
        held = {bounds: np.empty(saved.shape, saved.dtype) for bounds in own}
        digests, unread = {}, []
    else:
        store = _opened(folder, name, saved)
        held = dict(_values(store, name, sorted(own)))
        for piece in unread[
            (collectives.process_index() - turn)
            % collectives.process_count() :: collectives.process_count()
        ]:
            _check(name, dict(_values(store, name, [piece])), digests)
    _check(name, held, digests)
    return jax.make_array_from_callback(
        saved.shape,
        wanted.sharding,
        lambda index: held[bounds_of(index or (), saved.shape)],
    )


def _check(
    name: str, values: Mapping[Bounds, np.ndarray], digests: Mapping[Bounds, str]
) -> None:
    for bounds, value in values.items():
        if bounds in digests and array_digest(value) != digests[bounds]:
            raise DamagedError(f"{name} changed since it was written")


def _values(
    store: Any, name: str, pieces: Sequence[Bounds]
) -> Iterator[tuple[Bounds, np.ndarray]]:
    """Pieces of an array, read at the same time."""
    reading = [store[tuple(slice(*cut) for cut in piece)].read() for piece in pieces]
    for piece, future in zip(pieces, reading, strict=True):
        try:
            yield piece, np.asarray(future.result())
        except Exception as error:
            raise DamagedError(f"{name}: {reason(error)}") from error


def _opened(folder: Path, name: str, saved: SavedArray) -> Any:
    """An array as Orbax lays it on disk, opened without the other processes."""
    import tensorstore

    base = {"driver": "file", "path": f"{folder}/"}
    kvstore = {"driver": "ocdbt", "base": base, "path": f"{name}/"}
    try:
        store = tensorstore.open(
            {"driver": "zarr", "kvstore": kvstore}, open=True, read=True
        ).result()
    except Exception as error:
        raise DamagedError(f"{name}: {reason(error)}") from error
    if (tuple(store.shape), store.dtype.numpy_dtype) != (saved.shape, saved.dtype):
        raise DamagedError(f"{name} changed since it was written")
    return store


def _pieces(saved: SavedArray) -> Iterator[tuple[Bounds, str]]:
    if isinstance(saved.digest, str):
        yield tuple((0, size) for size in saved.shape), saved.digest
        return
    for bounds, digest in saved.digest:
        yield tuple(tuple(cut) for cut in bounds), digest
