"""Trackers for real, where their packages are installed: `make trackers`.

What they warn about in their own threads is theirs.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from specflow.output import read_rows

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="session")
def _quiet(tmp_path_factory):
    """Nothing leaves this machine, and nothing is written to the user's folders."""
    home = tmp_path_factory.mktemp("home")
    names = {
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HF_HUB_OFFLINE": "1",
        "TRACKIO_DIR": str(home / "trackio"),
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(home),
        "WANDB_CACHE_DIR": str(home),
        "WANDB_CONFIG_DIR": str(home),
        "WANDB_SILENT": "true",
    }
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    yield
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


def keys_of(run: Path) -> list[tuple[str, int]]:
    """(split, step) of the rows of a run, sorted."""
    return sorted(
        (row["split"], row["step"]) for row in read_rows(run / "metrics.jsonl")
    )


@pytest.fixture(scope="session")
def started() -> Callable[..., subprocess.Popen]:
    """Starts `specflow` in a process of its own."""

    def start(*words: str, cwd: Path) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "specflow", *words],
            cwd=cwd,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
                "JAX_PLATFORMS": "cpu",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
