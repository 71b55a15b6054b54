"""Restoring the arrays of a checkpoint onto devices, by one process or by several."""

import contextlib
import ctypes
import mmap
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from specflow.distributed import collectives
from specflow.output.checkpoint.arrays_file import array_bytes
from specflow.output.checkpoint.saved_arrays import (
    Bounds,
    DamagedError,
    SavedArray,
    StoredArrays,
    in_threads,
    raise_first,
)
from specflow.output.checkpoint.state_layout import bounds_of

__all__ = ["read_onto_devices"]

_HOST_BYTES = 1 << 30
"""Host memory that shards for devices with memory of their own take at once."""


def read_onto_devices(
    path: Path, saved: Mapping[str, SavedArray], wanted: Mapping[str, Any]
) -> dict[str, jax.Array]:
    """Restores arrays onto the devices of all processes, which all call this.

    Each process reads the shards of its devices. A written piece that a process reads
    completely is verified by it. The other pieces are distributed over the processes,
    read once more and verified, so that every byte is verified and no process needs
    memory for a complete array. Shards for CPU devices are read into the memory that
    they keep; those for other devices into host memory, a limited number at once.

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
    host_memory = _Budget(_HOST_BYTES)
    try:
        with StoredArrays(path, saved) as stored:

            def read(numbered: tuple[int, str]) -> jax.Array:
                number, name = numbered
                array, like = saved[name], wanted[name]
                return _read(stored, name, array, like, number, host_memory)

            # The largest first, so that the threads end at the same time.
            order = sorted(enumerate(wanted), key=lambda each: -saved[each[1]].nbytes)
            values, failed = in_threads(read, order)
        damages = [str(damage) for damage in failed]
        if not damages:
            names = [name for _, name in order]
            restored = dict(zip(names, values, strict=True))
    except DamagedError as error:
        damages = [str(error)]
    if collectives.process_count() > 1:
        damages = sorted(
            {text for each in collectives.gather(damages) for text in each}
        )
    raise_first(damages)
    return restored


def _read(
    stored: StoredArrays,
    name: str,
    saved: SavedArray,
    wanted: Any,
    number: int,
    host_memory: "_Budget",
) -> jax.Array:
    sharding = getattr(wanted, "sharding", None)
    if sharding is None:
        return jax.device_put(stored.read(name))
    bounds_by_device = {
        device: bounds_of(index or (), saved.shape)
        for device, index in sharding.devices_indices_map(saved.shape).items()
    }
    process = collectives.process_index()
    devices: dict[Bounds, list[Any]] = {}
    for device, bounds in bounds_by_device.items():
        if device.process_index == process:
            devices.setdefault(bounds, []).append(device)
    host_bytes = sum(
        array_bytes(saved.dtype, _shape(bounds))
        for bounds, (device, *_) in devices.items()
        if device.platform != "cpu"
    )
    with host_memory.use(host_bytes):
        own = {
            bounds: _Shard(_shape(bounds), saved.dtype, device)
            for bounds, (device, *_) in devices.items()
        }
        targets = {bounds: shard.memory for bounds, shard in own.items()}
        verified = stored.fill(name, targets)
        if collectives.process_count() > 1:
            skip = _verified_elsewhere(saved, bounds_by_device, number)
            stored.verify(name, skip=skip)
        else:
            stored.verify(name, skip=verified)
        shards = [own[b].on(device) for b, held in devices.items() for device in held]
        jax.block_until_ready(shards)  # Until then, a device reads the host memory.
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
    processes, process = collectives.process_count(), collectives.process_index()
    shards: dict[int, set[Bounds]] = {}
    for device, bounds in bounds_by_device.items():
        shards.setdefault(device.process_index, set()).add(bounds)
    is_read = np.any([_covered(saved, own) for own in shards.values()], axis=0)
    unread = [
        piece.bounds
        for piece, read in zip(saved.pieces, is_read, strict=True)
        if not read
    ]
    own = set(unread[(process - number) % processes :: processes])
    return {piece.bounds for piece in saved.pieces} - own


def _covered(saved: SavedArray, shards: Collection[Bounds]) -> np.ndarray:
    """Which pieces these shards contain completely."""
    dims = len(saved.shape)
    pieces = np.array([piece.bounds for piece in saved.pieces], np.int64)
    pieces = pieces.reshape(len(saved.pieces), 1, dims, 2)
    parts = np.array([*shards], np.int64).reshape(1, len(shards), dims, 2)
    stop = np.minimum(pieces[..., 1], parts[..., 1])
    overlap = np.maximum(0, stop - np.maximum(pieces[..., 0], parts[..., 0]))
    size = np.prod(pieces[..., 1] - pieces[..., 0], axis=(1, 2))
    return np.prod(overlap, axis=2).sum(axis=1) == size


def _shape(bounds: Bounds) -> tuple[int, ...]:
    return tuple(stop - start for start, stop in bounds)


class _Shard:
    """A shard of an array, while it is read from a checkpoint.

    Args:
        shape: of the shard.
        dtype: of the array.
        device: the first device that holds it.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], device: Any):
        self._device = device
        self._array = _on_cpu(shape, dtype, device)
        self.memory = (
            np.empty(shape, dtype) if self._array is None else _view(self._array)
        )
        """Memory to read it into; on CPU that of an array on the device."""

    def on(self, device: Any) -> jax.Array:
        """Returns the shard on a device, once its memory is filled."""
        if self._array is None:
            return jax.device_put(self.memory, device)
        if device == self._device:
            return self._array
        # `device_put` would share memory, which a step on either device then reuses.
        array = _on_cpu(self.memory.shape, self.memory.dtype, device)
        assert array is not None
        np.copyto(_view(array), self.memory)
        return array


def _on_cpu(
    shape: tuple[int, ...], dtype: np.dtype[Any], device: Any
) -> jax.Array | None:
    """A new array on a CPU device, to be filled; None if it must be put there later."""
    size = array_bytes(dtype, shape)
    # Dtypes of less than a byte, such as int4, are packed on the device.
    is_packed = dtype.itemsize == 1 and dtype.isbuiltin != 1
    if device.platform != "cpu" or is_packed or not size:
        return None
    # Pages of zeros that take no memory, unlike those of calloc. Not at a multiple of
    # 64, where JAX would share them: it cannot donate memory that is not its own.
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    pages = mmap.mmap(-1, dtype.itemsize + size, flags=private)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # Linux: less than half of the time.
        pages.madvise(mmap.MADV_HUGEPAGE)
    zeros = np.frombuffer(pages, np.uint8)[dtype.itemsize :].view(dtype).reshape(shape)
    array = jax.device_put(zeros, device)
    return array.block_until_ready() if array.dtype == dtype else None


def _view(array: jax.Array) -> np.ndarray:
    """A writable view of an array on a CPU device, which nothing else may use yet."""
    pointer = array.unsafe_buffer_pointer()
    memory = memoryview((ctypes.c_char * array.nbytes).from_address(pointer))
    return np.frombuffer(memory, np.uint8).view(array.dtype).reshape(array.shape)


class _Budget:
    """Limits the bytes that several threads use at once.

    Args:
        limit: bytes; more than this only one thread uses, with no other.
    """

    def __init__(self, limit: int):
        self._limit = self._free = limit
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def use(self, count: int) -> Iterator[None]:
        """Waits until so many bytes are free, and uses them."""
        count = min(count, self._limit)
        with self._changed:
            self._changed.wait_for(lambda: count <= self._free)
            self._free -= count
        try:
            yield
        finally:
            with self._changed:
                self._free += count
                self._changed.notify_all()
