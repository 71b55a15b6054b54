"""Finds run directories below a folder."""

import os
from pathlib import Path

from specflow.runtime.filesystem import expanded

__all__ = ["runs_below"]

_RUN_FILES = ("manifest.json", "origins.json", "estimator.json", "checkpoints")
"""Files of runs alone: a folder of configs has a `config.yaml` too."""


def runs_below(folder: str | Path, *, setting: str = "run") -> list[Path]:
    """Finds runs: the folder itself if it is one, or those of a sweep below it.

    Args:
        folder: a run directory, a `model_dir`, or a folder with some below it.
        setting: option or key that gave the folder, for messages.
    """
    path = expanded(folder, setting)
    if any((path / name).exists() for name in ("config.yaml", *_RUN_FILES)):
        return [path]
    runs = []
    for parent, folders, files in os.walk(path):
        if any(name in _RUN_FILES for name in (*folders, *files)):
            runs.append(Path(parent))
            folders.clear()
        folders.sort()
    return runs
