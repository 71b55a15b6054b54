"""Host copies of a training state."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from specflow.output.checkpoint.state_layout import OwnPiece, StateLayout
from specflow.runtime.typing import Tree, describe

__all__ = ["HostSnapshots", "Snapshot", "differences"]


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """The pieces of a state that one process writes, on the host."""

    layout: StateLayout
    pieces: list[np.ndarray]
    """In the order of `layout.pieces`."""


class HostSnapshots:
    """Copies states to the host, one after another into the same memory.

    A snapshot is valid until the next one is taken. Memory that was used before is
    written twice as fast as memory that the system has to provide.
    """

    def __init__(self) -> None:
        self._signature: Any = None
        self._layout: StateLayout | None = None
        self._copies: list[np.ndarray | None] = []

    def take(self, tree: Tree, *, process: int = 0) -> Snapshot:
        """Copies the pieces that this process writes, so that buffers can be donated.

        Args:
            tree: arrays of JAX or NumPy, or numbers.
            process: index of this process; see `StateLayout.of`.

        Raises:
            CheckpointError: a leaf is not an array of numbers.
        """
        import jax

        leaves, structure = jax.tree.flatten(tree)
        signature = structure, process, [*map(_kind, leaves)]
        if self._layout is None or signature != self._signature:
            self._layout = StateLayout.of(tree, process=process)
            self._signature = signature
        layout = self._layout
        sources = [_source(leaves[piece.leaf], piece) for piece in layout.pieces]
        if layout.has_transfers:
            for source in sources:
                if hasattr(source, "copy_to_host_async"):
                    source.copy_to_host_async()  # All transfers at once, then one wait.
        earlier = self._copies
        if len(earlier) != len(sources):
            earlier = [None] * len(sources)
        self._copies = []
        return Snapshot(layout, [*map(self._copy, sources, earlier)])

    def _copy(self, source: Any, copy: np.ndarray | None) -> np.ndarray:
        host = np.asarray(source)
        # The copy of a device's buffer is already our own. On CPU a JAX array and its
        # NumPy view share memory, which the next step reuses.
        if host.flags.owndata and host is not source:
            self._copies.append(None)
            return host
        if copy is None or copy.shape != host.shape or copy.dtype != host.dtype:
            copy = np.empty(host.shape, host.dtype.newbyteorder("="))
        np.copyto(copy, host)
        self._copies.append(copy)
        return copy


def _source(leaf: Any, piece: OwnPiece) -> Any:
    return leaf if piece.shard is None else leaf.addressable_data(piece.shard)


def _kind(leaf: Any) -> tuple[Any, ...]:
    """What the layout of a leaf follows from, cheap to compare."""
    if (sharding := getattr(leaf, "sharding", None)) is not None:
        return leaf.aval, sharding
    if isinstance(leaf, np.ndarray):
        return leaf.shape, leaf.dtype
    return type(leaf), np.asarray(leaf).dtype, np.shape(leaf)


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
