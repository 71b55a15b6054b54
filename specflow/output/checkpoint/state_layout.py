"""Layout of a state in a checkpoint: what follows from the structure of its tree."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from specflow.diagnostics.errors import CheckpointError, Diagnostic
from specflow.output.checkpoint.arrays_file import array_bytes, header_of
from specflow.output.checkpoint.saved_arrays import Bounds, piece_name
from specflow.runtime.typing import Tree, describe

__all__ = ["OwnPiece", "StateLayout", "bounds_of", "flat"]


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


class OwnPiece(NamedTuple):
    """A piece of an array that this process writes."""

    name: str
    """Name of the array."""
    bounds: Bounds
    leaf: int
    """Index of the array among the leaves of the state."""
    shard: int | None
    """Index among the addressable shards of the array; None: the complete array."""


@dataclasses.dataclass(frozen=True, eq=False)
class StateLayout:
    """Arrays of a state, and the pieces of them that one process writes.

    States of one structure have one layout, so that a save computes nothing that the
    save before it has computed.
    """

    arrays: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]
    """Path -> dtype and shape of each complete array."""
    pieces: tuple[OwnPiece, ...]
    """Those of this process, in the order of its file."""
    has_transfers: bool
    """Whether some pieces are not in memory of the host."""

    @classmethod
    def of(cls, tree: Tree, *, process: int = 0) -> "StateLayout":
        """The layout of a state.

        Of replicas on several devices, one is written: the one that JAX numbers 0.

        Args:
            tree: arrays of JAX or NumPy, or numbers.
            process: index of this process; numbers and arrays of NumPy, which all
                processes have, are written by process 0.

        Raises:
            CheckpointError: a leaf is not an array of numbers.
        """
        leaves = flat(tree)
        return cls(
            arrays={
                name: (_host_dtype(name, leaf), tuple(np.shape(leaf)))
                for name, leaf in leaves.items()
            },
            pieces=tuple(
                OwnPiece(name, bounds, index, shard)
                for index, (name, leaf) in enumerate(leaves.items())
                for bounds, shard in _own_pieces(leaf, process)
            ),
            has_transfers=any(map(_is_on_accelerator, leaves.values())),
        )

    def cast(self, dtype_of: Callable[[str, np.dtype[Any]], Any]) -> "StateLayout":
        """The same layout with other dtypes.

        Args:
            dtype_of: path and dtype of an array -> the new dtype.
        """
        arrays = {
            name: (np.dtype(dtype_of(name, dtype)), shape)
            for name, (dtype, shape) in self.arrays.items()
        }
        return dataclasses.replace(self, arrays=arrays)

    @functools.cached_property
    def nbytes(self) -> int:
        """Bytes of all arrays, those of other processes included."""
        return sum(array_bytes(dtype, shape) for dtype, shape in self.arrays.values())

    @functools.cached_property
    def header(self) -> bytes:
        """Header of the file of this process."""
        described = {}
        for name, bounds, *_ in self.pieces:
            dtype, shape = self.arrays[name]
            sizes = tuple(stop - start for start, stop in bounds)
            described[piece_name(name, shape, bounds)] = (dtype, sizes)
        return header_of(described)


def _own_pieces(leaf: Any, process: int) -> list[tuple[Bounds, int | None]]:
    """Bounds and index of the shards of an array that this process writes.

    An array without elements has none.
    """
    shape = np.shape(leaf)
    if 0 in shape:
        return []
    complete = tuple((0, size) for size in shape)
    if (shards := getattr(leaf, "addressable_shards", None)) is None:
        return [] if process else [(complete, None)]
    own = [
        (bounds_of(shard.index, shape), index)
        for index, shard in enumerate(shards)
        if shard.replica_id == 0
    ]
    return [
        (bounds, None if bounds == complete and leaf.is_fully_replicated else index)
        for bounds, index in own
    ]


def _is_on_accelerator(leaf: Any) -> bool:
    sharding = getattr(leaf, "sharding", None)
    return sharding is not None and any(
        device.platform != "cpu" for device in sharding.device_set
    )


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
