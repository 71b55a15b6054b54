"""Host copies of a training state, and digests of arrays."""

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
"""Bounds of a piece of an array: start and stop along each dimension."""


def flat(tree: Tree) -> dict[str, Any]:
    """Flattens a tree to leaves by path: keys joined by `/` (a key may have dots).

    >>> flat({"params": {"layers.0.kernel": 1, "layers.0.bias": 2}})
    {'params/layers.0.bias': 2, 'params/layers.0.kernel': 1}
    """
    import jax

    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def host_snapshot(tree: Tree) -> dict[str, np.ndarray]:
    """Copies all arrays to the host, so that their device buffers can be donated."""
    leaves = flat(tree)
    for leaf in leaves.values():
        if hasattr(leaf, "copy_to_host_async"):
            leaf.copy_to_host_async()  # All transfers at once, then one wait.
    return {path: _own(leaf) for path, leaf in leaves.items()}


def _own(leaf: Any) -> np.ndarray:
    host = np.asarray(leaf)
    # On CPU a JAX array and its NumPy view share memory, which the next step reuses.
    return host if host.flags.owndata and host is not leaf else host.copy()


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """Pieces of an array that one of several processes writes, on the host."""

    shape: tuple[int, ...]
    """Shape of the complete array."""
    dtype: np.dtype[Any]
    chunk: tuple[int, ...]
    """Shape of every piece."""
    pieces: list[tuple[Bounds, np.ndarray]]


def own_snapshot(tree: Tree) -> dict[str, Share]:
    """Copies the shards that this process writes to the host.

    Of replicas on several devices, one is written: the one that JAX numbers 0.
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
    """Bounds of an index into an array of that shape.

    >>> bounds_of((slice(2, 4), slice(None)), (8, 3))
    ((2, 4), (0, 3))
    """
    return tuple(
        part.indices(size)[:2] for part, size in zip(index, shape, strict=True)
    )


def array_digest(array: np.ndarray) -> str:
    """128-bit xxHash of an array's bytes, in C order.

    >>> array_digest(np.zeros(3)) == array_digest(np.zeros((1, 3)))
    True
    """
    import xxhash

    # As bytes: bfloat16 and similar dtypes have no buffer protocol.
    flat_bytes = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return xxhash.xxh3_128_hexdigest(flat_bytes.data)


def differences(
    saved: Mapping[str, np.ndarray | Any], wanted: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Compares arrays by path: missing, unexpected, of another shape or dtype.

    Args:
        saved: path -> array (or its description) of the checkpoint.
        wanted: path -> array (or its description) of the model.

    Returns:
        (path, difference) of each.
    """
    different = []
    for path in sorted(saved.keys() | wanted.keys()):
        in_checkpoint = describe(saved[path]) if path in saved else None
        in_model = describe(wanted[path]) if path in wanted else None
        if in_model is None:
            different.append(
                (path, f"{in_checkpoint} in the checkpoint, absent in the model")
            )
        elif in_checkpoint is None:
            different.append(
                (path, f"absent in the checkpoint, {in_model} in the model")
            )
        elif in_checkpoint != in_model:
            different.append(
                (path, f"{in_checkpoint} in the checkpoint, {in_model} in the model")
            )
    return different
