"""Training by `specflow launch`, as a user starts it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["train_in_two_processes"]

ROOT = Path(__file__).parents[2]


def train_in_two_processes(words: Sequence[str]) -> str:
    """Trains on two pretended devices of two processes; returns standard error."""
    launched = subprocess.run(
        [
            *(sys.executable, "-m", "specflow", "launch", "--processes", "2", "--"),
            *("train", *words, "mesh.pretend_devices=2"),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert launched.returncode == 0, launched.stderr
    return launched.stderr
