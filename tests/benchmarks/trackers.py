"""What a tracker costs training: time of steps and of a processor; and its start."""

import contextlib
import importlib.util
import itertools
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from specflow import TrackedRun, Tracker, TrackerClient
from specflow.runtime.brief_turns import brief_turns
from tests.benchmarks.report import Row

METRICS, SECONDS = 10, 10
ROWS = 10 * SECONDS
"""100 metrics a second, for the time between two calls (`Tracker`'s `interval_s`)."""
ROUNDS = 5


class Memory(TrackerClient):
    """A tracker that takes no time of its own."""

    name = "memory"

    def __init__(self):
        self.rows = []

    def start(self, run, run_id):
        return run_id or "1"

    def recorded(self):
        return []

    def log(self, rows):
        self.rows += rows


def run() -> list[Row]:
    """Shares of steps and of a processor at 100 metrics a second; and of a start."""
    # MLflow writes artifacts below the working directory.
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        contextlib.ExitStack() as stack,
    ):
        clients = _clients(folder, stack)
        rows = [
            row for name, client in clients for row in _rows(name, client, Path(folder))
        ]
        starts = [
            _start(name, Path(folder))
            for name in ("mlflow", "trackio", "wandb")
            if importlib.util.find_spec(name)
        ]
    return [*rows, *starts]


def _clients(folder, stack):
    yield "in memory", Memory()
    if importlib.util.find_spec("trackio"):
        from specflow_trackio._core.client import TrackioTracker

        yield "trackio", TrackioTracker("benchmark", with_models=False)
    if importlib.util.find_spec("mlflow"):
        from specflow_mlflow._core.client import MlflowTracker

        uri = f"sqlite:///{folder}/mlflow.db"
        yield "MLflow in SQLite", MlflowTracker(uri, "benchmark", with_models=False)
        uri = stack.enter_context(_server(folder))
        yield "MLflow server", MlflowTracker(uri, "benchmark", with_models=False)


@contextlib.contextmanager
def _server(folder):
    """The address of a server of MLflow on this machine, a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder}/server.db", "--port", str(port)),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(120):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1.0).close()
                break
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _rows(name: str, client: TrackerClient, folder: Path) -> list[Row]:
    directory = folder / name
    directory.mkdir()
    (directory / "config.yaml").write_text("name: benchmark\n")
    tracker = Tracker(client, TrackedRun.of(directory))
    values = {f"metric_{number}": 0.5 for number in range(METRICS)}
    tracker.sync()  # Import, database and run are made.
    batches = (
        [tracker._row(step, "train", values) for step in range(first, first + ROWS)]
        for first in itertools.count(1, ROWS)
    )
    client.log(next(batches))
    shares = []
    for _ in range(ROUNDS):
        began = time.process_time()
        client.log(next(batches))
        shares.append((time.process_time() - began) / SECONDS)
    found = {"processor": min(shares)}
    if "server" not in name:  # It would work on the processors of the steps.
        found["steps"] = _lost_s(lambda: client.log(next(batches))) / SECONDS
    return [
        Row(
            name=f"tracker {name}: {of}",
            unit="s a second",
            ours=share,
            theirs=1.0,
            what="a second of training",
            goal=0.01 if of == "steps" else None,
        )
        for of, share in found.items()
    ]


def _lost_s(call) -> float:
    """Seconds by which steps are behind after a call in another thread; a median.

    The steps are of 10 ms or so, ten for each row that is sent, and given out one after
    another: what holds the interpreter or the processors for longer is seen.
    """
    weights = [jnp.full((256, 512), 0.01), jnp.full((512, 256), 0.01)]
    rows = jnp.ones((512, 256))

    @jax.jit
    def step(weights):
        def loss(weights):
            return jnp.mean((jax.nn.relu(rows @ weights[0]) @ weights[1]) ** 2)

        return jax.tree.map(
            lambda old, change: old - 0.01 * change, weights, jax.grad(loss)(weights)
        )

    ends, calls, done = [], [], threading.Event()

    def log():
        for _ in range(2 * ROUNDS):
            time.sleep(0.5)
            began = time.perf_counter()
            with brief_turns():  # As the thread of a tracker does.
                call()
            calls.append((began, time.perf_counter()))
        time.sleep(0.5)
        done.set()

    weights = jax.block_until_ready(step(weights))
    thread = threading.Thread(target=log)
    thread.start()
    while not done.is_set():
        weights = jax.block_until_ready(step(weights))
        ends.append(time.perf_counter())
    thread.join()
    # Until steps are of their usual length again.
    calls = [(began, ended + 0.02) for began, ended in calls]
    during = [sum(began < end <= ended for end in ends) for began, ended in calls]
    lengths = [ended - began for began, ended in calls]
    step_s = (ends[-1] - ends[0] - sum(lengths)) / (len(ends) - sum(during))
    lost = [
        length - steps * step_s for length, steps in zip(lengths, during, strict=True)
    ]
    return statistics.median(lost)


_OPENED = """
import sys, time
from pathlib import Path
from specflow.compose import compose
from specflow.output import RunDirectory
from specflow.reports.open_reporters import check_packages, open_reporters_of

words = ["experiment=digits_mlp", f"output.reporters=[{sys.argv[1]}]"]
composed = compose(words)
run = RunDirectory(Path(sys.argv[2]))
began = time.perf_counter()
check_packages(composed.config.output.reporters)
open_reporters_of(composed, composed.config.output.reporters, run, 0)
print(time.perf_counter() - began)
"""
"""What training does with a reporter before its first step; the package of a tracker is
imported later, by the thread of the tracker."""


def _start(name: str, folder: Path) -> Row:
    """Seconds that opening a tracker takes before the first step, beyond none."""
    least = {}
    for reporter in (name, ""):
        directory = folder / f"start_{reporter}"
        directory.mkdir(exist_ok=True)
        (directory / "config.yaml").write_text("name: benchmark\n")
        command = [sys.executable, "-c", _OPENED, reporter, str(directory)]
        least[reporter] = min(
            float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            for _ in range(ROUNDS)
        )
    return Row(
        name=f"start of {name}",
        unit="s",
        ours=least[name] - least[""],
        theirs=1.0,
        what="a second",
        goal=0.1,
    )
