"""Runs in trackio's own database, read back by its own storage."""

import json
import math
import os
import sqlite3

import pytest

from specflow import TrackedRun, Tracker
from specflow.cli.main import main
from tests.trackers.conftest import keys_of

pytest.importorskip("trackio")
pytestmark = pytest.mark.filterwarnings("ignore")

from trackio import cas  # noqa: E402
from trackio.sqlite_storage import SQLiteStorage  # noqa: E402

from specflow_trackio._core.client import TrackioTracker  # noqa: E402

SMALL = ["experiment=digits_mlp", "loop.log_every=2", "loop.eval_every=10"]


def stored(run, project):
    """Rows of trackio, without goodput and times."""
    run_id = json.loads((run / "trackers.json").read_text())["trackio"]
    rows = SQLiteStorage.get_logs(project, run_id=run_id)
    return [
        row for row in rows if not any(key.startswith(("good", "tim")) and "/" in key
                                       for key in row)
    ]  # fmt: skip


def keys(rows):
    return sorted(
        (split, row["step"]) for row in rows for split in ("train", "eval")
        if f"{split}/loss" in row
    )  # fmt: skip


def contents(folder):
    """Files below a folder, by their relative path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def artifact(project, run, name):
    """Files of the newest version of an artifact of a run, and number of versions."""
    run_id = json.loads((run / "trackers.json").read_text())["trackio"]
    name = f"{run_id}-{name}"
    (counted,) = (a for a in SQLiteStorage.get_artifacts(project) if a["name"] == name)
    stored = SQLiteStorage.get_artifact_manifest(project, name, None)
    files = {
        entry["path"]: cas.blob_path(project, entry["digest"]).read_bytes()
        for entry in stored["manifest"]
    }
    return files, counted["num_versions"]


def test_a_resumed_run_is_one_run_with_each_row_of_the_file_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [*SMALL, "name=resumed", "output.dir=run", "output.on_change=accept"]
    words += ["output.tags=[baseline]", "output.reporters=[plots, trackio]"]
    words += ["output.exporters={latest: {name: latest}}"]
    for steps in (20, 30):
        assert main(["train", *words, f"loop.train_steps={steps}"]) == 0
    run = tmp_path / "run"
    rows = stored(run, "resumed")
    assert keys(rows) == keys_of(run)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    losses = {(line["split"], line["step"]): line["loss"] for line in lines}
    for row in rows:
        (split,) = {key.partition("/")[0] for key in row if "/" in key}
        assert row[f"{split}/loss"] == losses[split, row["step"]]
    with sqlite3.connect(SQLiteStorage.get_project_db_path("resumed")) as database:
        ((config,),) = database.execute("SELECT config FROM configs")
    config = json.loads(config)
    assert (config["tags"], config["loop.train_steps"]) == (["baseline"], 30)
    names = ("config.yaml", "curves.png", "manifest.json", "result.json")
    written = {name: (run / name).read_bytes() for name in names}
    result = json.loads(written["result.json"])
    exported = contents(run / result["exports"]["latest"]["path"])
    for _ in range(2):  # A run that is sent again has no further versions.
        assert artifact("resumed", run, "files") == (written, 2)
        assert artifact("resumed", run, "latest") == (exported, 2)
        assert main(["report", "sync", "run=run"]) == 0


def test_numbers_that_are_not_finite_are_kept(tmp_path):
    (tmp_path / "config.yaml").write_text("name: finite\n")
    tracker = Tracker(
        TrackioTracker("finite", with_models=False), TrackedRun.of(tmp_path)
    )
    tracker.write(1, "train", {"loss": 1.0, "a": math.nan, "b": math.inf})
    tracker.finish("finished")
    (row,) = stored(tmp_path, "finite")
    assert (str(row["train/a"]), row["train/b"]) == ("nan", math.inf)


def test_trials_of_a_sweep_have_a_group(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [*SMALL, "name=grid", "loop.train_steps=10", "output.reporters=[trackio]"]
    words += ["output.dir=grid", "optimizer.lr=1e-3,1e-4"]
    assert main(["train", "-m", *words]) == 0
    with sqlite3.connect(SQLiteStorage.get_project_db_path("grid")) as database:
        found = database.execute("SELECT run_name, config FROM configs").fetchall()
    groups = {name: json.loads(config)["_Group"] for name, config in found}
    assert set(groups) == {"grid/0", "grid/1"}
    assert len(set(groups.values())) == 1


@pytest.mark.slow
def test_twenty_kills_leave_one_run_with_every_step_once(trained_through_kills):
    run = trained_through_kills(
        "output.reporters=[trackio]", f"{os.environ['TRACKIO_DIR']}/killed.db*"
    )
    assert keys(stored(run, "killed")) == keys_of(run)
