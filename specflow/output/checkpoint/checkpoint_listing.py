"""The checkpoints of a run as a list: size, metrics, verdict, and what keeps each."""

import contextlib
import dataclasses
import datetime
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from specflow.diagnostics.errors import CheckpointError
from specflow.output.checkpoint.best_checkpoint import BestTracker
from specflow.output.checkpoint.checkpoint_directory import (
    PARAMS,
    CheckpointDirectory,
    rows_seen,
)
from specflow.output.checkpoint.checkpoint_tags import tags_of
from specflow.output.checkpoint.retention import (
    Retention,
    quick_damage,
    recorded_policies,
)
from specflow.output.checkpoint.saved_arrays import DamagedError
from specflow.output.json_values import JsonObject
from specflow.runtime.formatting import columns, human

__all__ = ["CheckpointEntry", "as_table", "checkpoint_entries"]

_MOST_METRICS = 4
"""Most metrics in a table; JSON has all."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointEntry:
    """One checkpoint on disk."""

    name: str
    """What `--step` takes, or names it: the step, `params/500`, `superseded/500-1`."""
    path: Path
    """Its directory."""
    step: int | None
    """Step of a complete checkpoint; None: no training resumes from it."""
    saved_s: float
    """Time at which it was saved, in seconds since 1970."""
    size: int
    """Bytes of its files."""
    rows: int | None = None
    """Training rows seen since the input began, over all processes, if known."""
    verdict: str
    """`complete`, `damaged`, `partial` or `superseded`."""
    damage: str = ""
    """Why it is damaged."""
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Metrics of the evaluation at its step."""
    kept_by: list[str] = dataclasses.field(default_factory=list)
    """Rules that keep it; none: the next save removes it."""
    tags: list[str] = dataclasses.field(default_factory=list)

    def to_plain(self) -> JsonObject:
        """The entry as plain JSON values."""
        saved = datetime.datetime.fromtimestamp(self.saved_s, datetime.UTC)
        values = {field.name: getattr(self, field.name) for field in _FIELDS}
        del values["saved_s"], values["path"]
        return {**values, "saved": saved.isoformat(timespec="seconds")}


_FIELDS = dataclasses.fields(CheckpointEntry)


def checkpoint_entries(path: Path, *, verify: bool = False) -> list[CheckpointEntry]:
    """Lists the checkpoints in a directory, complete ones first, by step.

    Then come the snapshots of the parameters beside them, and what is not used.

    Args:
        path: the directory of checkpoints.
        verify: read every array and compare its digest. If False, metadata and the
            sizes of files are checked.
    """
    directory = CheckpointDirectory(path)
    policies = recorded_policies(directory)
    best = policies.best
    tracker = None if best is None else BestTracker(directory, best)
    reasons = Retention(directory, policies, tracker).reasons()
    entries = [
        _complete(directory, step, kept_by, verify=verify)
        for step, kept_by in reasons.items()
    ]
    beside = CheckpointDirectory(path.parent / PARAMS)
    snapshots = (
        _complete(
            beside,
            step,
            ["its checkpoint"] if step in reasons else [],
            verify=verify,
            prefix=f"{PARAMS}/",
        )
        for step in (beside.steps() if path.name == "checkpoints" else ())
    )
    return [*entries, *snapshots, *_unused(path)]


def as_table(entries: list[CheckpointEntry], *, metric: str | None = None) -> str:
    """Formats a list of checkpoints as a table.

    Args:
        entries: of the list.
        metric: one to show first. If None, none is.
    """
    names = dict.fromkeys(
        name
        for entry in entries
        for name, value in entry.metrics.items()
        if isinstance(value, int | float) and name != "global_step"
    )
    shown = sorted(names, key=lambda name: name != metric)[:_MOST_METRICS]
    rows = [
        [
            entry.name,
            "" if entry.rows is None else str(entry.rows),
            datetime.datetime.fromtimestamp(entry.saved_s).strftime(
                "%Y-%m-%d %H:%M:%S"
            ),
            human(entry.size),
            *(_number(entry.metrics.get(name)) for name in shown),
            entry.verdict + (f": {entry.damage}" if entry.damage else ""),
            ", ".join(entry.kept_by) or "-",
        ]
        for entry in entries
    ]
    head = ["step", "rows", "saved", "size", *shown, "verdict", "kept by"]
    return columns([head, *rows], right=(0, 1, *range(3, 4 + len(shown))))


def _complete(
    directory: CheckpointDirectory,
    step: int,
    kept_by: list[str],
    *,
    verify: bool,
    prefix: str = "",
) -> CheckpointEntry:
    path = directory.step_path(step)
    metadata, damage = {}, quick_damage(directory, step)
    with contextlib.suppress(DamagedError, CheckpointError):
        metadata = directory.metadata(step)
        if verify and not damage:
            damage = "; ".join(directory.archive.verify(path))
    return CheckpointEntry(
        name=f"{prefix}{step}",
        path=path,
        step=None if prefix else step,
        saved_s=metadata.get("saved_s", path.stat().st_mtime),
        size=_size(path),
        rows=rows_seen(metadata.get("data")),
        verdict="damaged" if damage else "complete",
        damage=damage,
        metrics=metadata.get("metrics") or {},
        kept_by=kept_by,
        tags=tags_of(path),
    )


def _unused(path: Path) -> Iterator[CheckpointEntry]:
    """Yields what is no complete checkpoint: unfinished, or superseded."""
    folders = [*path.glob("*/"), *path.glob("superseded/*/")]
    for folder in sorted(folders):
        if folder.name.isdigit() or folder.name == "superseded":
            continue
        is_superseded = folder.parent != path
        yield CheckpointEntry(
            name=str(folder.relative_to(path)),
            path=folder,
            step=None,
            saved_s=folder.stat().st_mtime,
            size=_size(folder),
            verdict="superseded" if is_superseded else "partial",
        )


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _number(value: Any) -> str:
    if not isinstance(value, int | float) or math.isnan(value):
        return ""
    return f"{value:.4g}"
