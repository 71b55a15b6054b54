"""Snapshots of the parameters alone, for inference and fine-tuning."""

import warnings
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from specflow.diagnostics.errors import Diagnostic, SpecflowWarning
from specflow.distributed import collectives
from specflow.output.checkpoint.checkpoint_directory import PARAMS, CheckpointDirectory
from specflow.output.checkpoint.checkpoint_writer import CheckpointWriter
from specflow.output.checkpoint.retention import Retention
from specflow.output.checkpoint.retention_rules import NamedSteps, Policies
from specflow.output.checkpoint.snapshot import Snapshot
from specflow.output.checkpoint.state_layout import StateLayout
from specflow.runtime.typing import Tree

__all__ = ["ParamsSnapshots", "is_real_number"]

_REAL = ("bfloat16", "float16", "float32", "float64")


def is_real_number(dtype: Any) -> bool:
    """Returns whether a dtype is one of those between which parameters are cast.

    >>> is_real_number(np.dtype("float32")), is_real_number(np.dtype("uint32"))
    (True, False)
    """
    return dtype.name in _REAL


def _overflow(names: list[str], dtype: str) -> Diagnostic:
    """Reports parameters beyond the largest number of a dtype."""
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return Diagnostic(
        "output.checkpoint.params",
        f"values of {', '.join(names[:3])}{more} are beyond the range of {dtype}, and "
        "infinite in the snapshots",
        expected=f"parameters within ±{float(ml_dtypes.finfo(dtype).max):.5g}",
        hint="bfloat16 has the range of float32 in the same size; in Python, "
        "RunConfig.checkpoint_params.",
        code="params-overflow",
    )


class ParamsSnapshots(CheckpointWriter):
    """Writes `<run>/params/<step>` beside a checkpoint, in the same format.

    A snapshot is removed with its checkpoint. Parameters are cast on the host, in the
    thread that writes them; model state keeps its dtypes.

    Args:
        checkpoints: directory of the checkpoints.
        dtype: of the parameters; `same`: they keep theirs.
    """

    def __init__(self, checkpoints: Path, dtype: str):
        directory = CheckpointDirectory(checkpoints.parent / PARAMS)
        beside = CheckpointDirectory(checkpoints)
        retention = Retention(directory, Policies(keep=1))
        retention.rules.append(NamedSteps(beside.steps, "its checkpoint is kept"))
        super().__init__(directory, retention)
        self._dtype = dtype
        self._overflowed: list[str] = []
        """Parameters of which a cast made values infinite, in the first such save."""
        self._has_warned = False
        self._layouts: tuple[StateLayout, StateLayout] | None = None
        """The last layout, and the same with the dtypes that are written."""

    def save(self, step: int, state: Tree) -> None:
        """Begins to write a snapshot; the state may be donated when this returns.

        Args:
            step: training steps done.
            state: `params` and `state` as nested dicts of arrays.

        Raises:
            OutputError: the previous snapshot could not be written.
        """
        self.wait()
        if not self.is_complete(step):
            metadata = {"step": step, "data": {}, "metrics": None}
            self.start(step, self.take(state), metadata)

    def wait(self) -> None:
        """Waits until the running save is on disk; warns once of values that overflow.

        Raises:
            OutputError: it failed; earlier snapshots are unchanged.
        """
        super().wait()
        if self._overflowed and not self._has_warned:
            self._has_warned = True
            diagnostic = _overflow(self._overflowed, self._dtype)
            warnings.warn(SpecflowWarning(diagnostic), stacklevel=2)

    def close(self) -> None:
        """Waits for the running save, and removes snapshots without a checkpoint.

        To be called when the checkpoints are closed.

        Raises:
            OutputError: the running save failed.
        """
        super().close()
        if self._newest is not None and collectives.is_process_zero():
            self._remove_expired()

    def _write(self, channel: Any, step: int, snapshot: Any, metadata: Any) -> None:
        super()._write(channel, step, self._cast(snapshot), metadata)

    def _cast(self, snapshot: Snapshot) -> Snapshot:
        layout = snapshot.layout
        if self._dtype == "same":
            return snapshot
        if self._layouts is None or self._layouts[0] is not layout:
            self._layouts = layout, layout.cast(self._dtype_of)
        layout = self._layouts[1]
        pieces: list[np.ndarray] = []
        overflowed: list[str] = []
        for own, piece in zip(layout.pieces, snapshot.pieces, strict=True):
            with np.errstate(over="ignore"):
                cast = piece.astype(layout.arrays[own.name][0], copy=False)
            pieces.append(cast)
            if cast is not piece and np.isinf(cast).sum() > np.isinf(piece).sum():
                overflowed.append(own.name)
        self._overflowed = self._overflowed or overflowed
        return Snapshot(layout, pieces)

    def _dtype_of(self, name: str, dtype: np.dtype[Any]) -> Any:
        is_cast = name.startswith("params/") and is_real_number(dtype)
        return self._dtype if is_cast else dtype
