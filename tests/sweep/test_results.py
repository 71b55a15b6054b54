"""What `specflow sweep show` and `sweep best` read of a sweep's directory."""

import csv
import io
import json
import os
import subprocess
import sys

import filelock
import optuna
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.cli.main import main
from specflow.config.sections.sweep import ObjectiveConfig
from specflow.diagnostics.errors import ConfigError
from specflow.sweep.pool.trial import TrialStatus
from specflow.sweep.results.best_trial import best_trial, judge, pareto_front
from specflow.sweep.results.sweep_results import read_sweep
from specflow.sweep.results.trial_result import TrialResult
from tests.sweep.search_samples import loss, plan, run
from tests.sweep.sweep_samples import curve, finished, launched, recorded, write_run


def printed(capsys, *words):
    assert main(list(words)) == 0
    return capsys.readouterr().out


def refused(capsys, *words):
    assert main(list(words)) == 2
    return capsys.readouterr().err


def test_every_trial_is_shown_with_its_status_and_reason(tmp_path, capsys):
    folder = launched(tmp_path / "grid")
    lines = [
        line.rstrip()
        for line in printed(capsys, "sweep", "show", str(folder)).splitlines()
    ]
    reasons = {
        2: "at step 20",
        4: "its process has ended; the same command resumes",
        3: "nan: step 12: the loss is nan.",
    }
    head = "trial  optimizer.lr  loss   accuracy  status    step  seconds  directory"
    assert lines == [
        f"{head}  reason",
        "1      0.01          0.25   0.75      complete    40      1.5  1",
        "0      0.1           0.5    0.5       complete    40      1.5  0",
        f"2      0.001         0.125  0.2       pruned      20           2          {reasons[2]}",  # noqa: E501
        f"4      1             2      0.3       stopped     30           4          {reasons[4]}",  # noqa: E501
        f"3      1e+30                          failed      10      0.5  3          {reasons[3]}",  # noqa: E501
    ]


def test_a_trial_whose_directory_is_locked_is_running(tmp_path):
    folder = launched(tmp_path / "grid")
    with filelock.FileLock(folder / "4/.lock"):
        (trial,) = read_sweep(folder).with_status("running")
    assert (trial.number, trial.step, trial.reason) == (4, 30, "")


def test_a_trial_that_ended_before_that_was_recorded_is_complete(tmp_path):
    folder = launched(tmp_path / "grid")
    result = {"step": 40, "eval": {"loss": 1.0}, "timing": {"total": 3.0}}
    (folder / "4/result.json").write_text(json.dumps(result))
    trial = read_sweep(folder).trials[4]
    assert (trial.status, trial.step, trial.seconds) == ("complete", 40, 3.0)


def test_columns_sort_by_number_and_trials_without_a_value_come_last(tmp_path, capsys):
    folder = str(launched(tmp_path / "grid"))

    def order(*words):
        text = printed(capsys, "sweep", "show", folder, "--format", "csv", *words)
        return [row["trial"] for row in csv.DictReader(io.StringIO(text))]

    assert order("--sort", "optimizer.lr") == ["2", "1", "0", "4", "3"]
    assert order("--sort", "optimizer.lr", "--reverse") == ["3", "4", "0", "1", "2"]
    assert order("--sort", "loss") == ["2", "1", "0", "4", "3"]
    assert order("--sort", "accuracy", "--reverse") == ["1", "0", "4", "2", "3"]
    assert order("--sort", "trial") == ["0", "1", "2", "3", "4"]
    assert order("--sort", "seconds")[:3] == ["3", "0", "1"]
    error = refused(capsys, "sweep", "show", folder, "--sort", "optimizer.rl")
    assert "there is no column optimizer.rl" in error
    assert "Did you mean optimizer.lr?" in error


def test_formats_have_every_digit_and_the_whole_reason(tmp_path, capsys):
    folder = launched(tmp_path / "grid")
    third = {"optimizer.lr": "0.1234567890123", "seed": "1"}
    finished(folder, 5, third, {"loss": 1 / 3, "accuracy": 1.0})
    text = printed(capsys, "sweep", "show", str(folder), "--format", "csv")
    rows = {row["trial"]: row for row in csv.DictReader(io.StringIO(text))}
    assert float(rows["5"]["loss"]) == 1 / 3
    assert rows["5"]["optimizer.lr"] == "0.1234567890123"
    assert rows["3"]["reason"] == "step 12: the loss is nan.\nMore."
    document = json.loads(
        printed(capsys, "sweep", "show", str(folder), "--format=json")
    )
    assert document["objectives"] == [{"metric": "loss", "direction": "minimize"}]
    trials = {one["trial"]: one for one in document["trials"]}
    assert trials[5]["metrics"]["loss"] == 1 / 3
    assert trials[3]["failure"] == "nan"
    assert trials[4]["directory"] == str(folder / "4")
    file = tmp_path / "trials.parquet"
    assert printed(capsys, "sweep", "show", str(folder), "--output", str(file)) == ""
    columns = pq.read_table(file).to_pydict()
    assert columns["trial"] == [1, 5, 0, 2, 4, 3]
    assert columns["optimizer.lr"] == [0.01, 0.1234567890123, 0.1, 0.001, 1.0, 1e30]
    assert columns["loss"] == [0.25, 1 / 3, 0.5, 0.125, 2.0, None]
    assert columns["step"][0] == 40
    (file := tmp_path / "trials.csv").write_text("")
    printed(capsys, "sweep", "show", str(folder), "--output", str(file))
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("file", "expected"),
    [("t.json", "--format json > t.json"), ("t.xlsx", "ends in .csv, .parquet or")],
)
def test_a_file_gets_the_format_of_its_name_or_none(tmp_path, capsys, file, expected):
    folder = str(launched(tmp_path / "grid"))
    assert expected in refused(capsys, "sweep", "show", folder, "--output", file)


def test_parquet_names_the_package_and_the_file_it_needs(tmp_path, capsys, monkeypatch):
    folder = str(launched(tmp_path / "grid"))
    words = ("sweep", "show", folder, "--format", "parquet")
    assert "--format: parquet needs a file" in refused(capsys, *words)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    error = refused(capsys, *words, "--output", str(tmp_path / "t.parquet"))
    assert error == (
        "error[package-missing] --format: parquet needs the package pyarrow, which is "
        "not installed (command line). pip install 'specflow-jax[parquet]'.\n"
    )


def test_a_sweep_of_another_launcher_is_read_while_it_runs_and_after(tmp_path):
    """Hydra's launchers record nothing; specflow lists their jobs at the end alone."""
    folder = tmp_path / "basic"
    common = ["output.dir=basic/0", "experiment=sample"]
    result = {"step": 9, "eval": {"auc": 0.75, "loss": 3.0}, "timing": {"total": 4.0}}
    best = ("auc", "highest")
    write_run(folder / "0", [], [*common, "++model.width=8"], result, best)
    write_run(folder / "1", curve(0.5), [*common, "++model.width=16"], None, best)
    results = read_sweep(folder)
    assert results.keys == ("model.width",)
    assert results.name == "sample"
    assert results.objectives == (ObjectiveConfig(metric="auc", direction="maximize"),)
    assert [(one.number, one.status, one.step) for one in results.trials] == [
        (0, "complete", 9),
        (1, "stopped", 40),
    ]
    assert (results.trials[0].seconds, results.trials[0].value("auc")) == (4.0, 0.75)
    rows = [
        {"trial": 0, "overrides": {"model.width": "8"}, "directory": "/gone/basic/0"},
        {
            "trial": 1,
            "overrides": {"model.width": "16"},
            "directory": "/gone/basic/1",
            "error": "no memory",
        },
        {
            "trial": 2,
            "overrides": {"model.width": "32"},
            "directory": "/gone/basic/2",
            "error": "no rows",
        },
    ]
    (folder / "trials.json").write_text(json.dumps({"trials": rows}))
    trials = read_sweep(folder).trials
    assert [(one.number, one.status, one.reason) for one in trials] == [
        (0, "complete", ""),
        (1, "failed", "no memory"),
        (2, "failed", "no rows"),
    ]


def test_runs_in_folders_named_by_their_values_are_trials(tmp_path):
    for lr in ("0.1", "0.2"):
        run = tmp_path / f"sweep/lr={lr}/seed=1"
        write_run(run, [], [f"optimizer.lr={lr}"], {"step": 1, "eval": {"loss": 1.0}})
    trials = read_sweep(tmp_path / "sweep").trials
    assert [(one.number, one.overrides["optimizer.lr"]) for one in trials] == [
        (0, "0.1"),
        (1, "0.2"),
    ]


def searched(folder, **sweep):
    def failing(trial, step):
        if trial.number == 1:
            raise ArithmeticError("overflow")
        return loss(trial, step)

    run(plan(**{"trials": 10, **sweep}), folder, metrics=failing)
    return folder


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_a_search_is_read_like_optuna_reads_its_storage(tmp_path, storage):
    pruner = {"name": "median", "n_startup_trials": 2}
    folder = searched(tmp_path, pruner=pruner, storage=storage)
    trials = read_sweep(folder).trials
    for lost in (False, True):
        if lost:  # What a machine without this directory sees.
            (folder / "trials.jsonl").unlink()
        seen = read_sweep(folder).trials
        assert [(one.number, one.status) for one in seen] == [
            (one.number, one.status) for one in trials
        ]
        for one, other in zip(seen, trials, strict=True):
            assert dict(one.overrides) == dict(other.overrides)
            if other.status == "complete":
                assert one.value("loss") == other.value("loss")
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "search.log"))
    stored = optuna.load_study(
        study_name="sample",
        storage=f"sqlite:///{folder}/search.db"
        if storage == "sqlite"
        else optuna.storages.JournalStorage(backend),
    )
    assert {one.status for one in trials} == {"complete", "pruned", "failed"}
    objective = judge(read_sweep(folder))
    best = best_trial(read_sweep(folder), objective)
    assert best.number == stored.best_trial.number
    assert best.value("loss") == pytest.approx(stored.best_value)


def test_trials_of_other_machines_are_read_from_the_database(tmp_path, capsys):
    url = f"sqlite:///{tmp_path}/shared.db"
    sweep = {"storage": url, "study": "shared"}
    run(plan(trials=3, **sweep), tmp_path / "here")
    run(plan(trials=6, **sweep), tmp_path / "there")
    results = read_sweep(tmp_path / "here")
    assert [one.status for one in results.trials] == ["complete"] * 6
    folders = [one.directory.parent.name for one in results.trials]
    assert folders == ["here"] * 3 + ["there"] * 3
    stored = optuna.load_study(study_name="shared", storage=url)
    assert [one.value("loss") for one in results.trials] == [
        one.value for one in stored.trials
    ]
    (tmp_path / "shared.db").write_text("no database")
    capsys.readouterr()
    assert main(["sweep", "show", str(tmp_path / "here")]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 4
    assert err.startswith(f"note: {url} cannot be read: ")


def test_a_folder_of_sweeps_names_the_newest(tmp_path, capsys):
    for number, name in enumerate(("a/first", "a/second")):
        folder = launched(tmp_path / name)
        os.utime(folder / "trials.jsonl", (number, number))
    for folder in (tmp_path, tmp_path / "a"):
        error = refused(capsys, "sweep", "show", str(folder))
        assert f"'{folder}' holds 2 sweeps" in error
        assert f"The newest is {tmp_path}/a/second." in error


def test_repeats_have_a_mean_a_spread_and_a_best_run(tmp_path, capsys):
    folder = tmp_path / "search"
    run(plan(trials=2, repeats=3), folder)
    trial = read_sweep(folder).trials[0]
    assert [path.name for path in trial.runs] == ["seed-0", "seed-1", "seed-2"]
    assert trial.spread["loss"] == 0.0
    for number, run_loss in ((0, 0.5), (1, 0.25), (2, 0.75)):
        for place in (0, 1):
            result = {"step": 3, "eval": {"loss": run_loss}}
            file = folder / f"{place}/seed-{number}/result.json"
            file.write_text(json.dumps(result))
    assert main(["sweep", "best", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("/seed-1\n")
    assert "± 0, the mean of 3 seeds" in err


def test_an_infeasible_trial_is_never_the_best(tmp_path, capsys):
    constraints = [{"metric": "x", "at_least": 0.5}]
    sampler = {"name": "nsga2", "population_size": 4}
    searched(tmp_path, constraints=constraints, sampler=sampler, trials=20)
    results = read_sweep(tmp_path)
    feasible = results.with_status("complete")
    infeasible = results.with_status("infeasible")
    assert feasible
    assert infeasible
    assert all(float(one.overrides["x"]) >= 0.5 for one in feasible)
    assert all(float(one.overrides["x"]) < 0.5 for one in infeasible)
    best = best_trial(results, judge(results))
    assert best.value("loss") == min(one.value("loss") for one in feasible)
    # Without the constraint another one would be.
    assert min(one.value("loss") for one in infeasible) < best.value("loss")
    text = printed(capsys, "sweep", "show", str(tmp_path))
    first = infeasible[0]
    assert f"x {float(first.overrides['x']):.4g} < 0.5" in text


def test_the_best_directory_is_alone_on_standard_output(tmp_path, capsys):
    folder = launched(tmp_path / "grid")
    assert main(["sweep", "best", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{folder}/1\n"
    assert err == "trial 1: loss 0.25, at the last evaluation\n  optimizer.lr=0.01\n"
    assert main(["sweep", "best", str(folder), "--direction", "maximize"]) == 0
    assert capsys.readouterr().out == f"{folder}/0\n"
    words = ("sweep", "best", str(folder), "--metric", "accuracy")
    assert "--direction: is missing" in refused(capsys, *words)
    assert printed(capsys, *words, "--direction=minimize") == f"{folder}/0\n"
    document = json.loads(
        printed(capsys, "sweep", "best", str(folder), "--format=json")
    )
    assert document["run"] == f"{folder}/1"
    assert document["trial"]["overrides"]["optimizer.lr"] == "0.01"
    error = refused(capsys, "sweep", "best", str(folder), "--metric", "acuracy")
    assert "no trial has acuracy" in error
    assert "Did you mean accuracy?" in error


def test_without_a_complete_trial_there_is_no_best_one(tmp_path, capsys):
    folder = tmp_path / "grid"
    for number in range(2):
        lr = {"optimizer.lr": str(number)}
        recorded(folder, number, lr, TrialStatus.FAILED, error="nan", failure="nan")
    assert refused(capsys, "sweep", "best", str(folder)) == (
        f"error[sweep-no-best] sweep: no trial in '{folder}' is complete with loss: 2 "
        f"failed (command line). specflow sweep show {folder} lists the reasons.\n"
    )


def test_of_several_objectives_one_is_to_be_named(tmp_path, capsys):
    objectives = [{"metric": "loss"}, {"metric": "x", "direction": "maximize"}]
    searched(tmp_path, objectives=objectives, sampler={"name": "random"})
    error = refused(capsys, "sweep", "best", str(tmp_path))
    assert "--metric: the sweep has 2 objectives" in error
    assert "Expected one of loss, x" in error
    results = read_sweep(tmp_path)
    best = best_trial(results, judge(results, "x"))
    complete = results.with_status("complete")
    assert best.value("x") == max(one.value("x") for one in complete)
    stored = optuna.load_study(
        study_name="sample", storage=f"sqlite:///{tmp_path}/search.db"
    )
    front = {one.number for one in stored.best_trials}
    assert pareto_front(results.trials, results.objectives) == front
    document = json.loads(
        printed(capsys, "sweep", "show", str(tmp_path), "--format=json")
    )
    assert {one["trial"] for one in document["trials"] if one["pareto"]} == front


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), max_size=12
    )
)
def test_the_front_is_what_no_other_trial_dominates(points):
    directions = ("minimize", "maximize", "minimize")
    objectives = [
        ObjectiveConfig(metric=name, direction=direction)
        for name, direction in zip("abc", directions, strict=True)
    ]
    trials = [
        TrialResult(
            number=number,
            overrides={},
            directory=None,
            status="complete",
            metrics=dict(zip("abc", point, strict=True)),
        )
        for number, point in enumerate(points)
    ]
    study = optuna.create_study(directions=directions)
    for point in points:
        study.add_trial(optuna.create_trial(values=list(map(float, point))))
    expected = {one.number for one in study.best_trials}
    assert pareto_front(trials, objectives) == expected


def test_what_is_no_sweep_is_named(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    expected = "Expected the output.dir of specflow train -m."
    for name, message in {
        "empty": f"'{tmp_path}/empty' holds no sweep (command line). {expected}",
        "gone": f"'{tmp_path}/gone' is no directory (command line). {expected}",
        "run": f"'{run}' holds no sweep (command line). {expected} It is one run: "
        f"specflow evaluate run={run}.",
    }.items():
        error = refused(capsys, "sweep", "show", str(tmp_path / name))
        assert error == f"error[sweep-missing] sweep: {message}\n"
    with pytest.raises(ConfigError):
        read_sweep(tmp_path / "empty")


def test_damaged_files_cost_what_they_hold_alone(tmp_path):
    folder = launched(tmp_path / "grid")
    (folder / "0/result.json").write_text("{")
    (folder / "1/config.yaml").write_text("[")
    with open(folder / "trials.jsonl", "a") as file:
        file.write('{"number": 1, "status"')
    trials = read_sweep(folder).trials
    assert [one.value("loss") for one in trials[:3]] == [0.5, 0.25, 0.125]


def test_the_commands_load_no_jax(tmp_path):
    folder = launched(tmp_path / "grid")
    code = (
        "import sys\n"
        "from specflow.cli.main import main\n"
        "for name in ('show', 'best'):\n"
        f"    assert main(['sweep', name, {str(folder)!r}]) == 0\n"
        "assert not {'jax', 'flax', 'optax'} & sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_commands_of_two_words_are_listed_and_misspelled(capsys):
    assert printed(capsys, "sweep", "--help").splitlines()[0] == (
        "usage: specflow sweep COMMAND"
    )
    error = refused(capsys, "sweep", "shwo", "x")
    assert (
        "sweep shwo: no such command (command line). Did you mean sweep show?" in error
    )
    assert "Did you mean sweep" in refused(capsys, "sweep")
