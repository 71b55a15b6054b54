"""Bytes on each chip: of each array of the state, and from the compiler's errors."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from specflow.executor import TrainState, to_tree

__all__ = ["Held", "Shortage", "bytes_on_each", "held", "needed", "shortage"]

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_NUMBER = r"(\d+(?:\.\d+)?)([KMGT]?)i?B?"
_SIZE = re.compile(rf"\({_NUMBER}\)")
_USED = re.compile(rf"\bUsed {_NUMBER} of {_NUMBER}")
_PARTS = {"params": "parameters", "opt_state": "optimizer", "state": "state"}


@dataclasses.dataclass(frozen=True)
class Held:
    """An argument of a program, and its bytes on each chip."""

    part: str
    """`parameters`, `optimizer`, `state` or `batch`."""
    name: str
    """Dotted path."""
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    """Bytes on each chip."""


@dataclasses.dataclass(frozen=True)
class Shortage:
    """Compiler's report on a program that does not fit."""

    needs: int | None
    """Bytes needed on each chip; None if not reported."""
    available: int | None
    """Available bytes; None if not reported."""
    text: str
    """Compiler's message."""


def bytes_on_each(array: Any) -> int:
    """Returns the bytes of an abstract array on each of its devices.

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
    """Lists every array of a state and a batch.

    Args:
        state: abstract, with shardings.
        batch: abstract, with shardings.
    """
    found = []
    for part, arrays in to_tree(state).items():
        if part in _PARTS and isinstance(arrays, Mapping):
            found += [_held(_PARTS[part], *one) for one in arrays.items()]
    for path, array in _named(batch):
        found.append(_held("batch", path, array))
    return found


def needed(memory: Any) -> int:
    """Returns the bytes that a program needs on each GPU while it runs.

    Outputs that alias arguments are the donated state.

    Args:
        memory: from `jax.stages.Compiled.memory_analysis()`.
    """
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        - memory.alias_size_in_bytes
    )


def shortage(error: BaseException) -> Shortage | None:
    """Parses a compiler's out-of-memory error; None for any other error.

    >>> message = "temporaries (24.5G) exceeds available HBM (15.75G)."
    >>> parsed = shortage(RuntimeError(f"RESOURCE_EXHAUSTED: {message}"))
    >>> parsed.needs / 2**30, parsed.available / 2**30
    (24.5, 15.75)
    """
    text = " ".join(str(error).split())
    if "RESOURCE_EXHAUSTED" not in text and "Ran out of memory" not in text:
        return None
    if "ScopedVmem" in text or "memory space vmem" in text:
        return None  # On-chip memory of one operation, not the size of arrays.
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
