"""Restoring the arrays of a checkpoint onto devices, by one process or by several."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from specflow.distributed import collectives
from specflow.output.checkpoint.saved_arrays import (
    Bounds,
    DamagedError,
    SavedArray,
    StoredArrays,
    in_threads,
    raise_first,
)
from specflow.output.checkpoint.snapshot import bounds_of

__all__ = ["read_onto_devices"]


def read_onto_devices(
    path: Path, saved: Mapping[str, SavedArray], wanted: Mapping[str, Any]
) -> dict[str, jax.Array]:
    """Restores arrays onto the devices of all processes, which all call this.

    Each process reads the shards of its devices. A written piece that a process reads
    completely is verified by it. The other pieces are distributed over the processes,
    read once more and verified, so that every byte is verified and no process needs
    memory for a complete array.

    Args:
        path: the checkpoint.
        saved: description of all its arrays.
        wanted: name -> `jax.ShapeDtypeStruct` with the sharding wanted now, of the
            arrays to restore.

    Raises:
        DamagedError: an array cannot be read, or has changed; raised by all processes.
    """
    restored: dict[str, jax.Array] = {}
    damages: list[str] = []
    try:
        with StoredArrays(path, saved) as stored:

            def read(numbered: tuple[int, str]) -> jax.Array:
                number, name = numbered
                return _read(stored, name, saved[name], wanted[name], number)

            values, failed = in_threads(read, list(enumerate(wanted)))
        damages = [str(damage) for damage in failed]
        if not damages:
            restored = dict(zip(wanted, values, strict=True))
    except DamagedError as error:
        damages = [str(error)]
    if collectives.process_count() > 1:
        damages = sorted(
            {text for each in collectives.gather(damages) for text in each}
        )
    raise_first(damages)
    return restored


def _read(
    stored: StoredArrays, name: str, saved: SavedArray, wanted: Any, number: int
) -> jax.Array:
    sharding = getattr(wanted, "sharding", None)
    if sharding is None:
        return jax.device_put(stored.read(name))
    bounds_by_device = {
        device: bounds_of(index or (), saved.shape)
        for device, index in sharding.devices_indices_map(saved.shape).items()
    }
    process = collectives.process_index()
    own = {
        bounds
        for device, bounds in bounds_by_device.items()
        if device.process_index == process
    }
    held = {bounds: np.empty(_shape(bounds), saved.dtype) for bounds in own}
    verified = stored.fill(name, held)
    if collectives.process_count() > 1:
        stored.verify(name, skip=_verified_elsewhere(saved, bounds_by_device, number))
    else:
        stored.verify(name, skip=verified)
    shards = [
        jax.device_put(held[bounds], device)
        for device, bounds in bounds_by_device.items()
        if device.process_index == process
    ]
    return jax.make_array_from_single_device_arrays(saved.shape, sharding, shards)


def _verified_elsewhere(
    saved: SavedArray, bounds_by_device: Mapping[Any, Bounds], number: int
) -> set[Bounds]:
    """Bounds of the pieces that this process need not verify any more.

    Some process reads each of them completely, or it is another process's turn.

    Args:
        saved: the array.
        bounds_by_device: bounds of the shard of each device.
        number: of the array, so that the turns differ between arrays.
    """
    shards = set(bounds_by_device.values())
    processes, process = collectives.process_count(), collectives.process_index()
    unread = [piece.bounds for piece in saved.pieces if piece.bounds not in shards]
    own = set(unread[(process - number) % processes :: processes])
    return {piece.bounds for piece in saved.pieces} - own


def _shape(bounds: Bounds) -> tuple[int, ...]:
    return tuple(stop - start for start, stop in bounds)
