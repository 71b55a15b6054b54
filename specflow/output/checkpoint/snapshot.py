"""A state on the host: flat, safe from donation, with a digest for each array."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from specflow.runtime.typing import Tree, describe

__all__ = [
    "Bounds",
    "Share",
    "array_digest",
    "bounds_of",
    "differences",
    "flat",
    "host_snapshot",
    "own_snapshot",
]

Bounds: TypeAlias = tuple[tuple[int, int], ...]
"""Where a piece of an array lies: start and stop along each dimension."""


def flat(tree: Tree) -> dict[str, Any]:
    """Leaves by path: the keys on the way, joined by `/` (a key may hold dots).

    >>> flat({"params": {"layers.0.kernel": 1, "layers.0.bias": 2}})
    {'params/layers.0.bias': 2, 'params/layers.0.kernel': 1}
    """
    import jax

    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def host_snapshot(tree: Tree) -> dict[str, np.ndarray]:
    """Host copies of all arrays, which outlive the donation of the device's buffers."""
    leaves = flat(tree)
    for leaf in leaves.values():
        if hasattr(leaf, "copy_to_host_async"):
            leaf.copy_to_host_async()  # All transfers at once, then one wait.
    return {path: _own(leaf) for path, leaf in leaves.items()}


def _own(leaf: Any) -> np.ndarray:
    host = np.asarray(leaf)
    # On CPU a JAX array and its NumPy form share memory, which the next step reuses.
    return host if host.flags.owndata and host is not leaf else host.copy()


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """What one of several processes writes of an array; on the host."""

    shape: tuple[int, ...]
    """Of the whole array."""
    dtype: np.dtype[Any]
    chunk: tuple[int, ...]
    """Shape of every piece."""
    pieces: list[tuple[Bounds, np.ndarray]]


def own_snapshot(tree: Tree) -> dict[str, Share]:
    """Host copies of what this process writes, which outlive the donation.

    Of what lies on several devices, one writes; JAX says which.
    """
    leaves = flat(tree)
    own = {
        name: [shard for shard in leaf.addressable_shards if shard.replica_id == 0]
        for name, leaf in leaves.items()
    }
    for shards in own.values():
        for shard in shards:
            shard.data.copy_to_host_async()
    return {
        name: Share(
            leaf.shape,
            np.dtype(leaf.dtype),
            leaf.sharding.shard_shape(leaf.shape),
            [
                (bounds_of(shard.index, leaf.shape), _own(shard.data))
                for shard in own[name]
            ],
        )
        for name, leaf in leaves.items()
    }


def bounds_of(index: tuple[slice, ...], shape: tuple[int, ...]) -> Bounds:
    """Where a piece lies in an array of that shape.

    >>> bounds_of((slice(2, 4), slice(None)), (8, 3))
    ((2, 4), (0, 3))
    """
    return tuple(cut.indices(size)[:2] for cut, size in zip(index, shape, strict=True))


def array_digest(array: np.ndarray) -> str:
    """128-bit xxHash of an array's bytes, in C order.

    >>> array_digest(np.zeros(3)) == array_digest(np.zeros((1, 3)))
    True
    """
    import xxhash

    # As bytes: bfloat16 and its like have no buffer protocol.
    flat_bytes = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return xxhash.xxh3_128_hexdigest(flat_bytes.data)


def differences(
    saved: Mapping[str, np.ndarray | Any], wanted: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Arrays that are missing, left over, or of another shape or dtype.

    Args:
        saved: path -> array (or its description) of the checkpoint.
        wanted: path -> array (or its description) of the model.

    Returns:
        (path, what is different) of each.
    """
    found = []
    for path in sorted(saved.keys() | wanted.keys()):
        there = describe(saved[path]) if path in saved else None
        here = describe(wanted[path]) if path in wanted else None
        if here is None:
            found.append((path, f"{there} in the checkpoint, absent in the model"))
        elif there is None:
            found.append((path, f"absent in the checkpoint, {here} in the model"))
        elif there != here:
            found.append((path, f"{there} in the checkpoint, {here} in the model"))
    return found
