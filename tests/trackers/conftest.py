"""Trackers for real, where their packages are installed: `make trackers`.

What they warn about in their own threads is theirs.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from specflow.output import read_rows

ROOT = Path(__file__).parents[2]


_HOME = tempfile.TemporaryDirectory(prefix="trackers-")
# When this module is imported: the packages read some of these when they are.
os.environ |= {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_OFFLINE": "1",
    "TRACKIO_DIR": f"{_HOME.name}/trackio",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_CACHE_DIR": _HOME.name,
    "WANDB_CONFIG_DIR": _HOME.name,
    "WANDB_DATA_DIR": _HOME.name,
    "WANDB_SILENT": "true",
}
"""Nothing leaves this machine, and nothing is written to the user's folders."""


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
