"""Bytes on each chip: of the state, array by array, and of what the compiler says."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from specflow.executor import TrainState, to_tree

__all__ = ["Held", "Shortage", "bytes_on_each", "held", "shortage"]

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_NUMBER = r"(\d+(?:\.\d+)?)([KMGT]?)i?B?"
_SIZE = re.compile(rf"\({_NUMBER}\)")
_USED = re.compile(rf"\bUsed {_NUMBER} of {_NUMBER}")
_PARTS = {"params": "parameters", "opt_state": "optimizer", "state": "state"}


@dataclasses.dataclass(frozen=True)
class Held:
    """An array that a program is given, and what each chip holds of it."""

    part: str
    """`parameters`, `optimizer`, `rest` or `batch`."""
    name: str
    """Its dotted path."""
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    """On each chip."""


@dataclasses.dataclass(frozen=True)
class Shortage:
    """What the compiler says of a program that is too large."""

    needs: int | None
    """Bytes that it would take on each chip; None: it does not say."""
    available: int | None
    """Bytes that there are."""
    text: str
    """Its own words."""


def bytes_on_each(array: Any) -> int:
    """Bytes of an abstract array on each device that holds a part of it.

    >>> import numpy as np
    >>> from jax.sharding import Mesh, NamedSharding, PartitionSpec
    >>> one = NamedSharding(Mesh(jax.devices()[:1], ("data",)), PartitionSpec("data"))
    >>> bytes_on_each(jax.ShapeDtypeStruct((4, 2), np.float32, sharding=one))
    32
    """
    size = array.dtype.itemsize
    for length in array.sharding.shard_shape(array.shape):
        size *= length
    return size


def held(state: TrainState, batch: Any = None) -> list[Held]:
    """Every array of a state, and of the batches that a program is given.

    Args:
        state: abstract, with shardings.
        batch: likewise.
    """
    found = []
    for part, arrays in to_tree(state).items():
        if part in _PARTS and isinstance(arrays, Mapping):
            found += [_held(_PARTS[part], *one) for one in arrays.items()]
    for path, array in _named(batch):
        found.append(_held("batch", path, array))
    return found


def shortage(error: BaseException) -> Shortage | None:
    """What a compiler's error says, if it is that memory does not suffice.

    >>> told = "temporaries (24.5G) exceeds available HBM (15.75G)."
    >>> found = shortage(RuntimeError(f"RESOURCE_EXHAUSTED: {told}"))
    >>> found.needs / 2**30, found.available / 2**30
    (24.5, 15.75)
    """
    text = " ".join(str(error).split())
    if "RESOURCE_EXHAUSTED" not in text and "Ran out of memory" not in text:
        return None
    if "ScopedVmem" in text or "memory space vmem" in text:
        return None  # What a core keeps close for one operation: no array is too large.
    found = _SIZE.findall(text)
    if used := _USED.search(text):
        found = [used.groups()[:2], used.groups()[2:]]
    sizes = [int(float(number) * _UNITS[unit]) for number, unit in found]
    needs, available = (sizes[0], sizes[1]) if len(sizes) > 1 else (None, None)
    return Shortage(needs, available, text)


def _held(part: str, name: str, array: Any) -> Held:
    return Held(part, name, array.shape, str(array.dtype), bytes_on_each(array))


def _named(tree: Any) -> Iterator[tuple[str, Any]]:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        yield jax.tree_util.keystr(path, simple=True, separator="."), leaf
