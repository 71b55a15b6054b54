"""Restoring a checkpoint by several processes, each only the shards it needs."""

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
    """Restores arrays onto the devices of all processes, which all call this.

    Each process reads the shards of its devices. A shard that is equal to a written
    piece is verified by the processes that read it. The other pieces are distributed
    over the processes, read once more and verified, so that every byte is checked and
    no process needs memory for a complete array.

    Args:
        path: the checkpoint.
        saved: description of each array.
        wanted: name -> `jax.ShapeDtypeStruct` with the sharding wanted now.

    Raises:
        DamagedError: an array cannot be read, or has changed; raised by all processes.
    """
    arrays: dict[str, jax.Array] = {}
    bad: list[str] = []
    for number, (name, array) in enumerate(saved.items()):
        try:
            arrays[name] = _read(path / "state", name, array, wanted[name], number)
        except DamagedError as error:
            bad.append(str(error))
    reasons = sorted({text for texts in collectives.gather(bad) for text in texts})
    if reasons:
        more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        raise DamagedError(f"{reasons[0]}{more}")
    return arrays


def _read(
    folder: Path, name: str, saved: SavedArray, wanted: Any, number: int
) -> jax.Array:
    bounds_by_device = {
        device: bounds_of(index or (), saved.shape)
        for device, index in wanted.sharding.devices_indices_map(saved.shape).items()
    }
    own = {
        bounds
        for device, bounds in bounds_by_device.items()
        if device.process_index == collectives.process_index()
    }
    digests = dict(_pieces(saved))
    unread = [piece for piece in digests if piece not in bounds_by_device.values()]
    if 0 in saved.shape:
        held = {bounds: np.empty(saved.shape, saved.dtype) for bounds in own}
        digests, unread = {}, []
    else:
        store = _opened(folder, name, saved)
        held = dict(_values(store, name, sorted(own)))
        processes = collectives.process_count()
        first = (collectives.process_index() - number) % processes
        for piece in unread[first::processes]:
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
    """Reads pieces of an array concurrently."""
    reading = [
        store[tuple(slice(*bound) for bound in piece)].read() for piece in pieces
    ]
    for piece, future in zip(pieces, reading, strict=True):
        try:
            yield piece, np.asarray(future.result())
        except Exception as error:
            raise DamagedError(f"{name}: {reason(error)}") from error


def _opened(folder: Path, name: str, saved: SavedArray) -> Any:
    """Opens an array in Orbax's layout, without the other processes."""
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
        yield tuple(tuple(bound) for bound in bounds), digest
