"""Trackers: every row once, whatever fails; training neither waits nor ends for one."""

import importlib.util
import json
import math
import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specflow import MetricRow, TrackedRun, Tracker, TrackerClient
from specflow.cli.main import main
from specflow.compose import compose
from specflow.diagnostics.errors import ConfigError, OutputError, SpecflowWarning
from specflow.output import AsyncReporters, JsonLines
from specflow.output.tracking.tracker_run_ids import once
from specflow.runtime.secret_text import without_secrets


class Away(Exception):
    """A tracker that does not respond."""


class Store:
    """A tracker's own memory, which outlives clients and processes."""

    def __init__(self, failing=()):
        self.rows: list[MetricRow] = []
        self.runs: list[str] = []
        self.ended: list[str] = []
        self.calls: list[str] = []
        self.failing = chain(failing, repeat(""))
        self.open = threading.Event()
        self.open.set()

    def call(self, name, effect=lambda: None):
        """Does what a call does: not at all, wholly, or wholly and then fails."""
        self.calls.append(name)
        assert self.open.wait(60)
        failure = next(self.failing)
        if failure == "before":
            raise Away("connection refused")
        effect()
        if failure == "after":
            raise Away("the answer was lost")

    @property
    def keys(self):
        return [(row.split, row.step) for row in self.rows]


class Client(TrackerClient):
    name = "memory"
    refused = r"[^\w/]"
    longest = 12

    def __init__(self, store):
        self.store = store

    def start(self, run, run_id):
        known = run_id in self.store.runs
        created = run_id if known else f"run{len(self.store.runs)}"
        self.store.call("start")
        if not known:
            self.store.runs.append(created)
        return created

    def recorded(self):
        self.store.call("recorded")
        return self.store.keys

    def log(self, rows):
        self.store.call("log", lambda: self.store.rows.extend(rows))

    def finish(self, run, status):
        self.store.call("finish", lambda: self.store.ended.append(status))


@pytest.fixture
def run(tmp_path):
    (tmp_path / "config.yaml").write_text("name: digits\nseed: 0\n")
    return TrackedRun.of(tmp_path)


def train(run, store, steps, *, resumed_at=0, finish=True, **settings):
    """Reports steps as a run does: to the file first, then to the tracker."""
    tracked = TrackedRun.of(run.directory, resumed_at=resumed_at)
    tracker = Tracker(Client(store), tracked, **{"pause_s": 0.0, **settings})
    lines = JsonLines(run.directory / "metrics.jsonl", resumed_at=resumed_at)
    reporters = AsyncReporters([lines, tracker])
    for step in steps:
        reporters.write(step, "train", {"loss": 1 / step})
        if step % 3 == 0:
            reporters.write(step, "eval", {"loss": jnp.float32(step)})
    reporters.close()
    if finish:
        reporters.finish("stopped")
    return tracker


def expected(last):
    return sorted(
        [("train", step) for step in range(1, last + 1)]
        + [("eval", step) for step in range(3, last + 1, 3)]
    )


FAILURES = st.lists(st.sampled_from(["", "before", "after"]), max_size=12)


@settings(max_examples=60)
@given(first=FAILURES, second=FAILURES, queue=st.integers(1, 6), at=st.integers(0, 7))
def test_every_row_is_at_the_tracker_once_whatever_calls_fail(
    tmp_path_factory, first, second, queue, at
):
    """Also with a queue that is full, and in a run that resumes before its end."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "config.yaml").write_text("name: digits\n")
    run = TrackedRun.of(folder)
    store = Store(first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpecflowWarning)
        train(run, store, range(1, 8), queue_rows=queue)
        store.failing = chain(second, repeat(""))
        train(run, store, range(at + 1, 13), resumed_at=at, queue_rows=queue)
        store.failing = repeat("")
        Tracker(Client(store), TrackedRun.of(folder)).sync()
    assert sorted(store.keys) == expected(12)
    assert len(store.runs) == 1
    loss = {row.step: row.metrics["train/loss"] for row in store.rows
            if row.split == "train"}  # fmt: skip
    assert loss == {step: 1 / step for step in range(1, 13)}


def test_training_does_not_wait_for_a_tracker_that_does_not_answer(run):
    store = Store()
    store.open.clear()
    with pytest.warns(SpecflowWarning) as caught:
        # Returns although no call has returned.
        train(run, store, range(1, 50), queue_rows=5, wait_s=0.0)
    assert store.rows == []
    assert [str(warning.message) for warning in caught] == [
        "memory: has not received all rows and files of this run. Later, specflow "
        f"report sync run={run.directory} sends them."
    ]
    store.open.set()


def test_rows_are_sent_in_one_call_an_interval_or_when_a_checkpoint_is_saved(run):
    store = Store()
    sent = threading.Semaphore(0)
    client = Client(store)
    client.log = lambda rows: (store.rows.append(len(rows)), sent.release())
    tracker = Tracker(client, run, interval_s=3600.0)
    tracker.write(1, "train", {"loss": 1.0})
    assert sent.acquire(timeout=60)  # Progress is there from the first row on.
    for step in range(2, 12):
        tracker.write(step, "train", {"loss": 1.0})
    assert not sent.acquire(timeout=0.05)
    tracker.flush()
    assert sent.acquire(timeout=60)
    tracker.write(12, "train", {"loss": 1.0})
    tracker.finish("stopped")
    assert store.rows == [1, 10, 1]


def test_an_outage_is_one_warning_and_ends_nothing(run):
    store = Store(["before"] * 6)
    with pytest.warns(SpecflowWarning) as caught:
        train(run, store, range(1, 10), finish=False).finish("finished")
    texts = {str(warning.message) for warning in caught}
    first = (
        "memory: does not respond (Away: connection refused). Training continues; the "
        "rows are in metrics.jsonl, and are sent when it responds."
    )
    assert first in texts
    assert len([text for text in texts if "does not respond" in text]) == 1


def test_the_run_id_is_in_the_run_directory_and_in_checkpoints(run):
    store = Store()
    tracker = train(run, store, range(1, 4))
    assert json.loads((run.directory / "trackers.json").read_text()) == {
        "memory": "run0"
    }
    assert tracker.state(3) == "run0"
    (run.directory / "trackers.json").unlink()
    resumed = Tracker(Client(store), run)
    resumed.restore(tracker.state(3))
    assert resumed.sync() == 0
    assert store.runs == ["run0"]


def test_numbers_that_are_not_finite_arrive_as_they_are(run):
    store = Store()
    tracker = Tracker(Client(store), run)
    values = {"a": math.nan, "b": -math.inf, "c": np.float32(2), "d": jnp.bfloat16(3)}
    tracker.write(1, "eval", values | {"matrix": np.eye(2), "text": "no"})
    tracker.finish("finished")
    (row,) = store.rows
    assert {key: str(value) for key, value in row.metrics.items()} == {
        "eval/a": "nan", "eval/b": "-inf", "eval/c": "2.0", "eval/d": "3.0",
    }  # fmt: skip


def test_a_number_that_the_file_has_lost_is_replayed_as_nan(run):
    (run.directory / "metrics.jsonl").write_text(
        '{"step": 1, "split": "train", "loss": null}\n{"step": 2, "spl'
    )
    store = Store()
    assert Tracker(Client(store), run).sync() == 1
    assert math.isnan(store.rows[0].metrics["train/loss"])


def report(tracker, metrics):
    for step in (1, 2):
        tracker.write(step, "eval", metrics)
    tracker.finish("finished")


def test_refused_names_are_mapped_and_the_map_is_reported_once(run):
    store = Store()
    tracker = Tracker(Client(store), run)
    metrics = {"top@5": 1.0, "top%5": 2.0, "a_long_name": 3.0, "a_long_number": 4.0}
    with pytest.warns(SpecflowWarning) as caught:
        report(tracker, metrics)
    assert [dict(row.metrics) for row in store.rows] == 2 * [
        {"eval/top_5": 1.0, "eval/top_5_2": 2.0, "eval/a_long_": 3.0,
         "eval/a_lon_2": 4.0}
    ]  # fmt: skip
    assert [str(warning.message) for warning in caught] == [
        "memory: refuses names of metrics; there, eval/top@5 is eval/top_5, eval/top%5 "
        "is eval/top_5_2, eval/a_long_name is eval/a_long_, eval/a_long_number is "
        "eval/a_lon_2."
    ]


def test_goodput_and_times_are_metrics_of_the_last_step(run):
    result = {
        "step": 7, "eval": {"loss": 0.5}, "timing": {"train": 1.5},
        "efficiency": {"shares": {"step": 0.25}, "mfu": None},
    }  # fmt: skip
    (run.directory / "result.json").write_text(json.dumps(result))
    store = Store()
    for _ in range(2):
        Tracker(Client(store), run).sync()
    assert [(row.step, dict(row.metrics)) for row in store.rows] == [
        (7, {"goodput/step": 0.25}),
        (7, {"timing/train": 1.5}),
    ]
    assert store.ended == ["finished"] * 2


def test_a_sync_without_an_answer_is_an_error_of_the_machine(run):
    with pytest.raises(OutputError) as error:
        Tracker(Client(Store(repeat("before"))), run).sync()
    assert error.value.exit_code == 75
    assert str(error.value) == (
        "memory: does not respond (Away: connection refused). The same command sends "
        "the rest later."
    )


def test_secrets_are_in_no_message(run, monkeypatch):
    monkeypatch.setenv("LAB_API_KEY", "abcdef123456")

    class Talkative(Client):
        def start(self, run, run_id):
            raise Away("http://ann:hunter2@host/?key=abcdef123456 is not there")

    with pytest.raises(OutputError) as error:
        Tracker(Talkative(Store()), run).sync()
    shown = str(error.value)
    assert "Away: http://ann:***@host/?key=*** is not there" in shown
    assert without_secrets("no secret: http://host/a@b") == "no secret: http://host/a@b"


@pytest.mark.parametrize(
    "uri", ["http://ann:hunter2@host", "postgresql://a:hunter2@h/x"]
)
def test_a_config_with_a_password_is_refused_and_not_shown(uri):
    with pytest.raises(ConfigError) as error:
        compose([f"output.reporters=[{{name: mlflow, uri: '{uri}'}}]"])
    assert error.value.diagnostics[0].code == "secret"
    assert "hunter2" not in str(error.value)


def test_a_missing_package_is_an_error_before_training(run, monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.chdir(run.directory)
    monkeypatch.setattr(
        "specflow.reports.open_reporters.importlib.util.find_spec",
        lambda name: None if name == "mlflow" else find_spec(name),
    )
    assert main(["train", "experiment=digits_mlp", "output.reporters=[mlflow]"]) == 2
    assert capsys.readouterr().err == (
        "error[package-missing] output.reporters: mlflow needs the package mlflow, "
        "which is not installed (override output.reporters=[mlflow]). Run pip install "
        "'specflow-jax[mlflow]'.\n"
    )
    assert not (run.directory / "runs").exists()


def test_of_trials_that_start_at_once_one_creates_the_parent(tmp_path):
    created = []

    def create():
        created.append(len(created))
        return f"parent{created[-1]}"

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: once(tmp_path, "memory", create), range(8)))
    assert set(ids) == {"parent0"}
    assert created == [0]


def test_a_trial_knows_its_sweep_by_the_records(tmp_path):
    trial = tmp_path / "grid" / "lr" / "3"
    trial.mkdir(parents=True)
    (trial / "config.yaml").write_text("name: digits\noutput: {tags: [a], notes: b}\n")
    alone = TrackedRun.of(trial)
    assert (alone.sweep, alone.title) == (None, "3")
    (tmp_path / "grid/trials.jsonl").write_text(
        '{"number": 0, "directory": "lr/2"}\n{"number": 1, "directory": "lr/3"}\n{"num'
    )
    run = TrackedRun.of(trial)
    assert (run.sweep, run.title) == (tmp_path / "grid", "grid/lr/3")
    assert (run.tags, run.notes, run.flat_config) == (["a"], "b", {"name": "digits"})


WAITS = """
import sys, threading
from specflow import TrackedRun, Tracker, TrackerClient

class Client(TrackerClient):
    name = "memory"

    def start(self, run, run_id):
        threading.Event().wait()

tracker = Tracker(Client(), TrackedRun.of(sys.argv[1]), wait_s=0.0)
tracker.write(1, "train", {"loss": 0.5})
tracker.finish("finished")
"""


def test_a_process_ends_although_a_call_never_returns(run):
    done = subprocess.run(
        [sys.executable, "-c", WAITS, str(run.directory)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0
    assert "has not received all rows" in done.stderr
