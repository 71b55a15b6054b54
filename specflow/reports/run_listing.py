"""Lists runs: state, step, best value, time and tags of each; loads no JAX."""

import csv
import dataclasses
import datetime
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from specflow.output.report.evaluation_rows import evaluation_rows
from specflow.output.report.reporters import read_rows
from specflow.output.run.lock import holder
from specflow.output.run.run_directory import RunDirectory
from specflow.output.run.runs_below import runs_below
from specflow.runtime.formatting import columns

__all__ = ["RunEntry", "as_csv", "as_table", "run_entries", "run_entry"]

_COLUMNS = (
    "run",
    "name",
    "state",
    "step",
    "best evaluation",
    "last",
    "time",
    "started",
    "tags",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunEntry:
    """A run as a list shows it."""

    directory: Path
    name: str
    """Name of the experiment."""
    state: str
    """`complete`, `stopped early`, `pruned`, `running`, or `stopped`: by a signal, an
    error or a kill."""
    step: int
    """Last step that was reported."""
    steps: int | None
    """Step at which training ends; None if the config is damaged."""
    metric: str
    """Metric of `best`: that of `output.checkpoint.best`, or the loss."""
    best: float | None
    """Best value of an evaluation; None without one."""
    best_step: int | None
    last: float | None
    """Value of the last evaluation, by which `sweep best` ranks trials."""
    started: str
    """Time of the last start, ISO 8601 with zone; empty if unknown."""
    seconds: float | None
    """Seconds of the last start; None until it is complete."""
    tags: tuple[str, ...]
    notes: str

    def to_plain(self) -> dict[str, Any]:
        """Returns JSON values."""
        plain = dataclasses.asdict(self)
        return plain | {"directory": str(self.directory), "tags": list(self.tags)}


def run_entries(folder: str | Path) -> list[RunEntry]:
    """Lists the runs below a folder, the newest first.

    Args:
        folder: a folder of runs, or a run directory.
    """
    found = [
        run_entry(path)
        for path in runs_below(folder, setting="DIR")
        if (path / "config.yaml").is_file()
    ]
    return sorted(found, key=lambda entry: entry.started, reverse=True)


def run_entry(directory: Path) -> RunEntry:
    """Reads what a list shows of a run; damaged files count as missing."""
    run = RunDirectory(directory)
    config = _config(run.config)
    manifest = run.load_manifest()
    result = RunDirectory.load_json(run.result)
    rows = read_rows(run.metrics)
    last = max((row["step"] for row in rows), default=0)
    section: Any = _at(config, "output", "checkpoint", "best")
    criterion = section if isinstance(section, Mapping) else {}
    metric = str(criterion.get("metric", "loss"))
    sign = -1.0 if criterion.get("order") == "highest" else 1.0
    evaluations = [(row["step"], row.get(metric)) for row in evaluation_rows(rows)]
    values = [
        (sign * float(value), step)
        for step, value in evaluations
        if isinstance(value, int | float)
    ]
    _, last_value = max(evaluations, key=lambda one: one[0], default=(0, None))
    best, best_step = min(values, default=(None, None))
    return RunEntry(
        directory=directory,
        name=str(config.get("name", "")),
        state=_state(run, result),
        step=int(result.get("step", last)),
        steps=_at(config, "loop", "train_steps") or manifest.get("train_steps"),
        metric=metric,
        best=None if best is None else sign * best,
        best_step=best_step,
        last=float(last_value) if isinstance(last_value, int | float) else None,
        started=str(manifest.get("started", "")),
        seconds=_at(result, "timing", "total"),
        tags=tuple(str(tag) for tag in _at(config, "output", "tags") or ()),
        notes=str(_at(config, "output", "notes") or ""),
    )


def as_table(entries: Sequence[RunEntry], folder: Path) -> str:
    """Formats runs for a terminal.

    Args:
        entries: the runs.
        folder: the folder that was listed; directories are relative to it.
    """
    rows = [
        (
            _relative(entry.directory, folder),
            entry.name,
            entry.state,
            f"{entry.step:,}" + (f"/{entry.steps:,}" if entry.steps else ""),
            ""
            if entry.best is None
            else f"{entry.metric} {entry.best:.4g} at {entry.best_step:,}",
            "" if entry.last is None else f"{entry.last:.4g}",
            "" if entry.seconds is None else _duration(entry.seconds),
            _local(entry.started),
            ", ".join(entry.tags),
        )
        for entry in entries
    ]
    # Columns without a value in any row are left out.
    places = range(len(_COLUMNS))
    used = [place for place in places if any(row[place] for row in rows)]
    shown = [[row[place] for place in used] for row in (_COLUMNS, *rows)]
    return columns(shown, right=[used.index(3)] if 3 in used else [])


def as_csv(entries: Sequence[RunEntry]) -> str:
    """Formats runs as CSV, one line each, with full precision."""
    names = [field.name for field in dataclasses.fields(RunEntry)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for entry in entries:
        plain = entry.to_plain() | {"tags": " ".join(entry.tags)}
        writer.writerow(["" if plain[name] is None else plain[name] for name in names])
    return text.getvalue()


def _state(run: RunDirectory, result: Mapping[str, Any]) -> str:
    if result:
        if result.get("pruned"):
            return "pruned"
        return "stopped early" if result.get("stopped_early") else "complete"
    return "running" if holder(run.path / ".lock") is not None else "stopped"


def _config(path: Path) -> dict[str, Any]:
    try:
        # The loader in C is ten times as fast.
        parsed = yaml.load(
            path.read_text(encoding="utf-8-sig"),
            Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader),
        )
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _at(tree: Any, *keys: str) -> Any:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _relative(path: Path, folder: Path) -> str:
    try:
        return path.relative_to(folder).as_posix() if path != folder else str(path)
    except ValueError:
        return str(path)


def _local(started: str) -> str:
    try:
        return f"{datetime.datetime.fromisoformat(started).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:
        return ""


def _duration(seconds: float) -> str:
    """Formats seconds.

    >>> _duration(7.25), _duration(75), _duration(7265)
    ('7.2 s', '1:15', '2:01:05')
    """
    if seconds < 60 or not math.isfinite(seconds):
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
