"""Trackers for real, where their packages are installed: `make trackers`.

What they warn about in their own threads is theirs.
"""

import atexit
import glob
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from specflow.output import read_rows

ROOT = Path(__file__).parents[2]


_HOME = tempfile.TemporaryDirectory(prefix="trackers-")
atexit.register(_HOME.cleanup)
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


def changes(pattern: str) -> dict[str, int]:
    """Times of the last change of files, by path."""
    return {path: os.stat(path).st_mtime_ns for path in glob.glob(pattern)}


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


FAULTS = ("answers 500", "is slow", "is gone")


class Failing(BaseHTTPRequestHandler):
    """Answers 500, or after a long time."""

    def do_GET(self):
        if self.server.hold is not None:
            self.server.hold.wait(60)
        self.send_error(500)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A server that is no tracker; `hold` delays its answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Failing)
    server.hold = None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    if server.hold is not None:
        server.hold.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def address_of(server) -> Callable[[str], str]:
    """Returns the address of a tracker with a fault."""

    def address(fault: str) -> str:
        if fault == "is slow":
            server.hold = threading.Event()
        if fault == "is gone":
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                return f"http://127.0.0.1:{free.getsockname()[1]}"
        return f"http://127.0.0.1:{server.server_address[1]}"

    return address


KILLS = 20


@pytest.fixture
def trained_through_kills(started, tmp_path) -> Callable[..., Path]:
    """Trains `killed` with a reporter, through 20 SIGKILLs at random moments.

    Every tenth comes when the files of the tracker, a glob, have changed: the others
    come while its package is imported, which takes seconds.
    """

    def train(reporter: str, files: str, *, steps: int = 64_000, seed: int = 0) -> Path:
        pauses = random.Random(seed)
        words = [
            "train", "experiment=digits_mlp", "name=killed",
            f"loop.train_steps={steps}",
            "loop.log_every=5", "loop.eval_every=50", "output.checkpoint.every=100",
            "loop.iterations_per_loop=5", "output.dir=run", reporter,
        ]  # fmt: skip
        kills = 0
        for _ in range(3 * KILLS):
            file = files if kills % 10 == 9 else "run/metrics.jsonl"
            before = changes(f"{tmp_path / file}")
            process = started(*words, cwd=tmp_path)
            while process.poll() is None and kills < KILLS:
                if changes(f"{tmp_path / file}") != before:
                    time.sleep(pauses.uniform(0.0, 0.4))
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.01)
            _, text = process.communicate()
            if process.returncode == 0:
                break
            assert process.returncode == -signal.SIGKILL, text
            kills += 1
        assert kills == KILLS
        assert len(keys_of(tmp_path / "run")) == steps // 5 + steps // 50
        return tmp_path / "run"

    return train
