"""The saved table of a sweep: sorted by what judges, read by csv and json."""

import csv
import json

import numpy as np

from specflow.sweep.outcomes import Outcome, ranked, records, table
from specflow.sweep.trials_table import save_trials


def outcomes(tmp_path):
    found = [(0.25, 0.5), (0.125, 0.75), (0.5, float("nan"))]
    made = [
        Outcome(
            (f"++optimizer.lr=1e-{number}", "seed=1"),
            str(tmp_path / str(number)),
            {
                "step": 7,
                "eval": {"loss": loss, "auc": auc, "matrix": np.eye(2)},
            },
        )
        for number, (loss, auc) in enumerate(found)
    ]
    lost = Outcome(("++optimizer.lr=9", "seed=1"), str(tmp_path / "3"), None, "a\nb")
    return [lost, *made]


def test_jobs_are_ranked_by_the_best_metric_and_failed_ones_come_last(tmp_path):
    jobs = outcomes(tmp_path)
    assert ranked(jobs) == [2, 1, 3, 0]
    by_auc = [
        Outcome(one.overrides, one.directory, one.result, one.error, "auc", "highest")
        for one in jobs
    ]
    assert ranked(by_auc) == [2, 1, 3, 0]


def test_only_complete_and_feasible_jobs_can_be_the_best():
    metrics = {"loss": 0.5, "accuracy": 0.75}
    jobs = [
        Outcome(("seed=0",), "0", {"step": 9, "eval": metrics}),
        Outcome(("seed=1",), "1", {"step": 3, "eval": {"loss": 0.125}, "pruned": True}),
        Outcome(
            ("seed=2",),
            "2",
            {"step": 9, "eval": {**metrics, "loss": 0.25}},
            infeasible="accuracy 0.75 < 0.9",
        ),
        Outcome(("seed=3",), "3", {"step": 9, "eval": {**metrics, "loss": 1.0}}),
    ]
    assert ranked(jobs) == [0, 3, 1, 2]
    assert [one["status"] for one in records(jobs)] == [
        *("complete", "complete", "pruned", "infeasible")
    ]
    assert [line.rstrip() for line in table(jobs).splitlines()] == [
        "trial  seed  step  loss   accuracy  status",
        "0      0     9     0.5    0.75      complete",
        "3      3     9     1      0.75      complete",
        "1      1     3     0.125            pruned",
        "2      2     9     0.25   0.75      infeasible: accuracy 0.75 < 0.9",
    ]


def test_trials_of_the_pareto_front_are_marked_and_come_first():
    losses = (0.25, 0.5, 0.125)
    jobs = [
        Outcome(
            (f"seed={n}",), f"runs/{n}", {"eval": {"loss": loss}}, is_on_front=n < 2
        )
        for n, loss in enumerate(losses)
    ]
    assert [line.rstrip() for line in table(jobs).splitlines()] == [
        "trial  seed  loss   pareto",
        "0      0     0.25   yes",
        "1      1     0.5    yes",
        "2      2     0.125",
    ]


def test_the_table_is_saved_as_csv_and_json_with_every_digit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = save_trials(records(outcomes(tmp_path)))
    assert str(file) == "trials.csv"
    with open("trials.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["trial"] for row in rows] == ["2", "1", "3", "0"]
    assert [row["optimizer.lr"] for row in rows] == ["1e-1", "1e-0", "1e-2", "9"]
    assert [float(row["loss"]) for row in rows[:3]] == [0.125, 0.25, 0.5]
    assert "matrix" not in rows[0]
    assert rows[3]["error"] == "a\nb"
    with open("trials.json") as stream:
        trials = json.load(stream)["trials"]
    assert [one["trial"] for one in trials] == [2, 1, 3, 0]
    assert trials[0]["eval"]["matrix"] == [[1.0, 0.0], [0.0, 1.0]]
    assert trials[2]["eval"]["auc"] is None
    assert trials[0]["directory"] == str(tmp_path / "1")


def test_a_table_outside_the_working_directory_is_named_by_its_absolute_path(
    tmp_path, monkeypatch
):
    folder = tmp_path.joinpath(*"a" * 100)
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    file = save_trials(records(outcomes(tmp_path)))
    assert file == tmp_path / "trials.csv"


def test_the_table_of_another_sweep_in_the_folder_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = records(outcomes(tmp_path))
    save_trials(rows)
    former = {
        name: (tmp_path / name).read_text() for name in ("trials.csv", "trials.json")
    }
    save_trials(rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(former)
    save_trials(rows[3:])
    for name, text in former.items():
        kept = tmp_path / name.replace("trials", "trials.1")
        assert kept.read_text() == text
        assert (tmp_path / name).read_text() != text


def test_the_table_of_a_search_that_had_fewer_trials_is_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_trials(records(outcomes(tmp_path)[:3]))
    save_trials(records(outcomes(tmp_path)))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("trials.csv", "trials.json")
    ]
    assert len(json.loads((tmp_path / "trials.json").read_text())["trials"]) == 4


def test_without_jobs_there_is_no_table():
    assert save_trials([]) is None


def test_every_column_has_a_name_of_its_own(tmp_path, monkeypatch):
    """A reader by names, as `csv.DictReader` and pandas are, would lose one of two."""
    monkeypatch.chdir(tmp_path)
    metrics = {"loss": 0.5, "trial": 2.0, "error": 3.0, "directory": 4.0, "seed": 5.0}
    made = [
        Outcome((f"seed={n}",), str(tmp_path / str(n)), {"step": 7, "eval": metrics})
        for n in range(2)
    ]
    with open(save_trials(records(made)), newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == [
        *("trial", "seed", "step", "loss"),
        *("eval.trial", "eval.error", "eval.directory", "eval.seed"),
        *("status", "directory", "failure", "error"),
    ]
    row = dict(zip(header, rows[1], strict=True))
    assert row["seed"] == row["trial"] == "1"
    assert (row["eval.seed"], row["eval.trial"], row["eval.error"]) == (
        "5.0",
        "2.0",
        "3.0",
    )
    assert (row["directory"], row["error"]) == (str(tmp_path / "1"), "")
    assert table(made).split("\n")[0].split() == [
        *(
            "trial",
            "seed",
            "step",
            "loss",
            "eval.trial",
            "error",
            "directory",
            "eval.seed",
        )
    ]
