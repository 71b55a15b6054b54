"""`specflow runs`: states, steps and best values, read from the files of runs."""

import csv
import io
import json

import pytest

from specflow.cli.main import main
from specflow.output.run.lock import Lock


def write_run(folder, *, result=None, best=None, tags=(), rows=(), started="10:00"):
    folder.mkdir(parents=True)
    output = {"tags": list(tags), "checkpoint": {"best": best}}
    config = {"name": "digits", "loop": {"train_steps": 20}, "output": output}
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML.
    manifest = {"started": f"2026-11-28T{started}:00+00:00"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result))
    lines = [json.dumps(row) for row in rows]
    (folder / "metrics.jsonl").write_text("\n".join(lines))


def evaluated(step, loss, accuracy):
    return {"step": step, "split": "eval", "loss": loss, "accuracy": accuracy}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [evaluated(10, 0.5, 0.8), evaluated(20, 0.75, None)]
    done = {"step": 20, "timing": {"total": 75.4}, "stopped_early": None}
    write_run(tmp_path / "runs/whole", result=done, rows=rows, tags=["a", "b"])
    write_run(
        tmp_path / "runs/grid/0",
        result=done | {"step": 10, "pruned": True},
        best={"metric": "accuracy", "order": "highest"},
        rows=rows,
        started="11:00",
    )
    write_run(tmp_path / "runs/killed", rows=rows[:1], started="12:00")
    write_run(tmp_path / "runs/new", started="13:00")
    return tmp_path / "runs"


def test_a_table_has_the_newest_run_first(runs, capsys, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    lock = Lock(runs / "new/.lock")
    assert main(["runs"]) == 0
    lock.release()
    assert capsys.readouterr().out.splitlines() == [
        "run     name    state      step  best evaluation     last  time  started"
        "           tags",
        "new     digits  running    0/20                                  2026-11-28"
        " 13:00",
        "killed  digits  stopped   10/20  loss 0.5 at 10      0.5         2026-11-28"
        " 12:00",
        "grid/0  digits  pruned    10/20  accuracy 0.8 at 10        1:15  2026-11-28"
        " 11:00",
        "whole   digits  complete  20/20  loss 0.5 at 10      0.75  1:15  2026-11-28"
        " 10:00  a, b",
    ]


def test_csv_and_json_have_the_same_values(runs, capsys):
    assert main(["runs", "runs", "--format", "csv"]) == 0
    table = [*csv.DictReader(io.StringIO(capsys.readouterr().out))]
    assert main(["runs", "runs", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)["runs"]
    assert [row["directory"] for row in table] == [run["directory"] for run in listed]
    assert listed[3] == {
        "directory": "runs/whole", "name": "digits", "state": "complete", "step": 20,
        "steps": 20, "metric": "loss", "best": 0.5, "best_step": 10, "last": 0.75,
        "started": "2026-11-28T10:00:00+00:00", "seconds": 75.4, "tags": ["a", "b"],
        "notes": "",
    }  # fmt: skip
    assert (table[3]["best"], table[3]["tags"], table[0]["best"]) == ("0.5", "a b", "")


def test_damaged_files_hide_no_run(runs, capsys):
    (runs / "whole/config.yaml").write_text("name: [")
    (runs / "whole/result.json").write_text("{")
    (runs / "killed/metrics.jsonl").write_text('{"step": 3, "spl')
    assert main(["runs", "--format", "json"]) == 0
    states = {
        run["directory"]: (run["name"], run["state"])
        for run in json.loads(capsys.readouterr().out)["runs"]
    }
    assert states["runs/whole"] == ("", "stopped")
    assert states["runs/killed"] == ("digits", "stopped")


@pytest.mark.parametrize(
    ("folder", "problem"), [("nowhere", "is no directory"), (".git", "holds no run")]
)
def test_a_folder_without_runs_is_an_error(
    folder, problem, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    assert main(["runs", folder]) == 2
    assert capsys.readouterr().err == (
        f"error[run-missing] DIR: '{folder}' {problem} (command line). Expected a "
        "folder with run directories below it. runs is the default.\n"
    )
