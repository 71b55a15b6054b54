"""What the run directories of trials show of them; reads only."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from specflow.output.report.evaluation_rows import evaluation_rows
from specflow.output.report.reporters import read_rows
from specflow.output.run.lock import holder
from specflow.sweep.results.trial_result import scalars

__all__ = ["evaluations", "is_run", "last_state", "read_json", "run_directories"]

_DEPTH = 4
"""Folders between that of a sweep and its deepest run: keys can be parts of paths."""


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object; empty if it is missing or damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def is_run(directory: Path) -> bool:
    """Returns whether a directory is that of a run."""
    return (directory / "config.yaml").is_file() and (
        directory / "manifest.json"
    ).is_file()


def run_directories(directory: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """Returns the run directories below one, by name; none inside another run."""
    try:
        with os.scandir(directory) as found:
            folders = sorted(entry.name for entry in found if entry.is_dir())
    except OSError:
        return
    for name in folders:
        folder = directory / name
        if name.startswith("."):
            continue
        if is_run(folder):
            yield folder
        elif depth > 1:
            yield from run_directories(folder, depth - 1)


def evaluations(run: Path, split: str = "eval") -> list[tuple[int, dict[str, float]]]:
    """Returns (step, scalar metrics) of each evaluation of a run, by step.

    Args:
        run: directory of the run.
        split: `eval`, or `train` for the rows of training.
    """
    rows: list[dict[str, Any]] = read_rows(run / "metrics.jsonl")
    if split == "eval":
        rows = evaluation_rows(rows)
    rows = [row for row in rows if row.get("split") == split]
    found = {
        row["step"]: scalars(
            {k: v for k, v in row.items() if k not in ("step", "split")}
        )
        for row in rows
    }
    return sorted(found.items())


def last_state(run: Path) -> tuple[bool, int | None, dict[str, float]]:
    """Returns whether a run is being written, its step, and its last evaluation."""
    rows = read_rows(run / "metrics.jsonl")
    step = max((row["step"] for row in rows), default=None)
    evaluated = evaluations(run)
    metrics = evaluated[-1][1] if evaluated else {}
    return holder(run / ".lock") is not None, step, metrics
