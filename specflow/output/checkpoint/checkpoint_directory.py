"""Checkpoints of a run on disk: one subdirectory for each step."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specflow.diagnostics.errors import CheckpointError, Diagnostic
from specflow.output.checkpoint.archive import Archive
from specflow.output.checkpoint.saved_arrays import DamagedError
from specflow.output.json_values import JsonObject
from specflow.runtime.filesystem import absence_hint, expanded

__all__ = ["PARAMS", "CheckpointDirectory", "located", "part_rows_seen", "rows_seen"]

PARAMS = "params"
"""Directory of the snapshots of the parameters, beside `checkpoints`."""


class CheckpointDirectory:
    """Paths and metadata of the complete checkpoints in a directory.

    Args:
        path: absolute path of `checkpoints/`; it need not exist.
    """

    def __init__(self, path: Path):
        self.path = path
        self.archive = Archive()

    def step_path(self, step: int) -> Path:
        """Path of the checkpoint of a step."""
        return self.path / str(step)

    def steps(self) -> list[int]:
        """Steps with a complete checkpoint, ascending; does not load JAX."""
        if not self.path.is_dir():
            return []
        return sorted(
            int(path.name)
            for path in self.path.iterdir()
            if path.name.isdigit() and path.is_dir()
        )

    def newest(self) -> int | None:
        """The newest step with a complete checkpoint. None if there is none."""
        return max(self.steps(), default=None)

    def metadata(self, step: int) -> JsonObject:
        """Metadata of a checkpoint: data position, metrics, arrays and digests.

        Raises:
            DamagedError: it cannot be read, or has changed.
            CheckpointError: it has another version of the format.
        """
        return self.archive.metadata(self.step_path(step))

    def update_data(self, step: int, values: JsonObject) -> None:
        """Replaces some of the data of a checkpoint; does nothing if it is damaged.

        Raises:
            OutputError: it cannot be written.
        """
        if step in self.steps():
            with contextlib.suppress(DamagedError):
                data = {**self.metadata(step)["data"], **values}
                self.archive.update_metadata(self.step_path(step), data=data)

    def metrics(self, step: int) -> JsonObject:
        """Evaluation metrics of a checkpoint; empty if unevaluated or damaged."""
        try:
            return self.metadata(step)["metrics"] or {}
        except DamagedError:
            return {}


def rows_seen(data: Mapping[str, Any] | None) -> int | None:
    """Training rows seen since the input began, over all processes, if known.

    Args:
        data: of the metadata of a checkpoint.

    >>> rows_seen({"input": {"rows": 640, "batches": 10}})
    640
    """
    return ((data or {}).get("input") or {}).get("rows")


def part_rows_seen(data: Mapping[str, Any] | None) -> dict[str, int]:
    """Training rows of each part of a mixture seen since the input began.

    Args:
        data: of the metadata of a checkpoint.
    """
    return ((data or {}).get("input") or {}).get("parts") or {}


def located(path: str | Path, *, key: str = "") -> tuple[Path, int | None]:
    """Resolves a path to a directory of checkpoints, and the step of one of them.

    Args:
        path: one checkpoint, a `checkpoints/` directory, or a model or run directory;
            the last two mean the newest checkpoint, step None.
        key: config key of the path, which the message names; the path itself if empty.

    Raises:
        CheckpointError: there is no checkpoint.
    """
    absolute = expanded(path, key or "checkpoint_path").absolute()
    for folder in (absolute / "checkpoints", absolute):
        if any(child.name.isdigit() for child in folder.glob("*/")):
            return folder, None
    if absolute.name.isdigit():
        for folder in (absolute.parent, absolute.parent / "checkpoints"):
            if (folder / absolute.name).is_dir():
                return folder, int(absolute.name)
    exists = absolute.exists()
    raise CheckpointError(
        Diagnostic(
            key or str(path),
            (f"{path} " if key else "")
            + ("is no checkpoint" if exists else "does not exist"),
            expected="a checkpoint, such as RUN/checkpoints/100, or a directory with "
            "checkpoints",
            hint="" if exists else absence_hint(absolute),
            code="checkpoint-path",
        )
    )
