"""Host copies of a training state."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from specflow.diagnostics.errors import CheckpointError, Diagnostic
from specflow.output.checkpoint.saved_arrays import Bounds
from specflow.runtime.typing import Tree, describe

__all__ = ["HostSnapshots", "Share", "bounds_of", "differences", "flat"]


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


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """Pieces of an array that one process writes, on the host."""

    shape: tuple[int, ...]
    """Shape of the complete array."""
    dtype: np.dtype[Any]
    pieces: list[tuple[Bounds, np.ndarray]]


class HostSnapshots:
    """Copies states to the host, one after another into the same memory.

    A snapshot is valid until the next one is taken. Memory that was used before is
    written twice as fast as memory that the system has to provide.
    """

    def __init__(self) -> None:
        self._copies: dict[tuple[str, Bounds], np.ndarray] = {}

    def take(self, tree: Tree, *, process: int = 0) -> dict[str, Share]:
        """Copies the pieces that this process writes, so that buffers can be donated.

        Of replicas on several devices, one is written: the one that JAX numbers 0.

        Args:
            tree: arrays of JAX or NumPy, or numbers.
            process: index of this process; numbers and arrays of NumPy, which all
                processes have, are written by process 0.

        Returns:
            Path -> pieces of this process, for each leaf.

        Raises:
            CheckpointError: a leaf is not an array of numbers.
        """
        leaves = flat(tree)
        dtypes = {name: _host_dtype(name, leaf) for name, leaf in leaves.items()}
        shards = {name: _own_shards(leaf, process) for name, leaf in leaves.items()}
        for pieces in shards.values():
            for _, piece in pieces:
                if hasattr(piece, "copy_to_host_async"):
                    piece.copy_to_host_async()  # All transfers at once, then one wait.
        earlier, self._copies = self._copies, {}
        return {
            name: Share(
                np.shape(leaf),
                dtypes[name],
                [
                    (bounds, self._copy((name, bounds), piece, earlier))
                    for bounds, piece in shards[name]
                ],
            )
            for name, leaf in leaves.items()
        }

    def _copy(
        self,
        key: tuple[str, Bounds],
        piece: Any,
        earlier: Mapping[tuple[str, Bounds], np.ndarray],
    ) -> np.ndarray:
        host = np.asarray(piece)
        # The copy of a device's buffer is already our own. On CPU a JAX array and its
        # NumPy view share memory, which the next step reuses.
        if host.flags.owndata and host is not piece:
            return host
        copy = earlier.get(key)
        native = host.dtype.newbyteorder("=")
        if copy is None or (copy.shape, copy.dtype) != (host.shape, native):
            copy = np.empty(host.shape, native)
        np.copyto(copy, host)
        self._copies[key] = copy
        return copy


def _own_shards(leaf: Any, process: int) -> list[tuple[Bounds, Any]]:
    """The shards of an array that this process writes, and their bounds.

    An array without elements has none.
    """
    shape = np.shape(leaf)
    if 0 in shape:
        return []
    if (shards := getattr(leaf, "addressable_shards", None)) is None:
        return [] if process else [(tuple((0, size) for size in shape), leaf)]
    return [
        (bounds_of(shard.index, shape), shard.data)
        for shard in shards
        if shard.replica_id == 0
    ]


def _host_dtype(name: str, leaf: Any) -> np.dtype[Any]:
    """Dtype of a leaf in native byte order.

    Raises:
        CheckpointError: it is not one of numbers.
    """
    dtype = getattr(leaf, "dtype", None)
    if not isinstance(dtype, np.dtype):
        dtype = None if dtype is not None else np.asarray(leaf).dtype
    # Dtypes that NumPy does not have, such as bfloat16, may be of kind V.
    if dtype is None or dtype.kind in "OSUMm" or dtype.name.startswith(("void", "rec")):
        raise CheckpointError(
            Diagnostic(
                name,
                f"got {describe(leaf)}, which a checkpoint cannot hold",
                expected="an array of numbers",
                hint="Keep text out of the model state; save the data of a random key, "
                "jax.random.key_data(key).",
                code="checkpoint-array",
            )
        )
    return dtype.newbyteorder("=")


def bounds_of(index: tuple[slice, ...], shape: tuple[int, ...]) -> Bounds:
    """Bounds of an index into an array of that shape.

    >>> bounds_of((slice(2, 4), slice(None)), (8, 3))
    ((2, 4), (0, 3))
    """
    return tuple(
        part.indices(size)[:2] for part, size in zip(index, shape, strict=True)
    )


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
