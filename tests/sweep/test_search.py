"""The loop of a search, with Optuna's studies on disk and no training."""

import dataclasses
import json
import multiprocessing
import shutil
import sqlite3
import threading
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage

from specflow.diagnostics.errors import ConfigError
from specflow.sweep.pool.trial import TrialReport, TrialStatus
from specflow.sweep.search.constraints import violations
from specflow.sweep.search.search_loop import Search
from specflow.sweep.search.search_space import Dimension
from specflow.sweep.search.study_storage import Supervisors
from specflow.sweep.search.study_trials import StudyTrials
from specflow.sweep.trial_records import TRIALS, read_records
from tests.sweep.search_samples import (
    FakePool,
    K,
    NoWatcher,
    X,
    loss,
    plan,
    run,
    value_of,
)

N = Dimension(key="n", kind="int", text="range(1,4)", low=1, high=3, step=1)


class Killed(BaseException):
    """The process ended here."""


def points(trials):
    return [tuple(sorted(one.settings.items())) for one in trials]


def stored(directory, name="sample"):
    url = f"sqlite:///{directory}/search.db"
    return optuna.load_study(study_name=name, storage=url).trials


@pytest.mark.parametrize(
    ("sampler", "storage"),
    [
        ("tpe", "sqlite"),
        ("random", "journal"),
        ("cmaes", "sqlite"),
        ("nsga2", "journal"),
        ("qmc", "sqlite"),
    ],
)
def test_a_search_runs_its_trials_and_continues_with_new_points(
    tmp_path, sampler, storage
):
    given = {"sampler": {"name": sampler}, "storage": storage}
    dimensions = (X,) if sampler == "cmaes" else (X, K)
    first, _ = run(plan(*dimensions, trials=5, **given), tmp_path)
    assert [one.number for one in first] == [0, 1, 2, 3, 4]
    both, pool = run(plan(*dimensions, trials=8, **given), tmp_path)
    assert [trial.number for trial in pool.ran] == [5, 6, 7]
    assert len(set(points(both))) == 8


def share(directory):
    run(plan(trials=16), Path(directory), slots=2)


def test_two_processes_share_the_work_of_a_directory(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=share, args=(str(tmp_path),)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    trials = stored(tmp_path)
    assert [(one.number, one.state.name) for one in trials] == [
        (number, "COMPLETE") for number in range(16)
    ]
    assert len({one.params["x"] for one in trials}) == 16
    lines = (tmp_path / TRIALS).read_text().splitlines()
    ended = [one["number"] for one in map(json.loads, lines) if one["values"]]
    assert sorted(ended) == list(range(16))


def test_one_that_came_and_went_meanwhile_counts(tmp_path):
    shorter = []

    def visited(trial, step):
        if not shorter:
            shorter.append(None)
            shorter[0] = run(plan(trials=5), tmp_path)
        return loss(trial, step)

    _, pool = run(plan(trials=9), tmp_path, metrics=visited)
    _, visitor = shorter[0]
    assert len(visitor.ran) == 4
    assert len(pool.ran) == 5
    assert [one.number for one in stored(tmp_path)] == list(range(9))
    run(plan(trials=9), tmp_path)
    assert not list((tmp_path / "supervisors").iterdir())


def test_the_reason_of_a_failure_outlives_a_process_that_ends_meanwhile(
    tmp_path, monkeypatch
):
    """It has read the records, and reads the study after the other one's trial."""
    runs, goes, last = threading.Event(), threading.Event(), []

    def failing(trial, step):
        if trial.number == 2:
            runs.set()
            goes.wait()
            raise ArithmeticError("overflow")
        return loss(trial, step)

    def search():
        run(plan(trials=3), tmp_path, metrics=failing)

    def read(folder):
        records = read_records(folder)
        if threading.current_thread() is threading.main_thread():
            last.append(records)
            if len(last) == 2:
                goes.set()
                other.join(0.3)  # Until it has stored that, if nothing holds it off.
        return records

    other = threading.Thread(target=search)
    other.start()
    runs.wait()
    monkeypatch.setattr("specflow.sweep.search.search_loop.read_records", read)
    run(plan(trials=3), tmp_path)
    other.join()
    assert len(last) == 2
    assert read_records(tmp_path)[2].error == "overflow"


def test_trials_whose_directories_are_gone_have_what_the_study_has(tmp_path):
    given = {
        "objectives": [{"metric": "loss"}, {"metric": "x", "direction": "maximize"}],
        "constraints": [{"metric": "x", "at_least": -0.5, "at_most": 0.5}],
        "sampler": {"name": "nsga2"},
    }
    before, _ = run(plan(trials=8, **given), tmp_path)
    for one in before:
        shutil.rmtree(one.directory)
    after, pool = run(plan(trials=8, **given), tmp_path)
    assert not pool.ran
    bounds = plan(**given).sweep.constraints
    marks = []
    for one, other in zip(before, after, strict=True):
        metrics, others = one.outcome.result["eval"], other.outcome.result["eval"]
        assert metrics == others
        marks.append([bool(violations(bounds, each)) for each in (metrics, others)])
    assert [True, True] in marks
    assert [False, False] in marks


def test_a_grid_has_every_combination_once_in_order(tmp_path):
    trials, _ = run(plan(N, K, sampler={"name": "grid"}, trials=6), tmp_path)
    assert [(one.settings["n"], one.settings["k"]) for one in trials] == [
        (n, k) for n in "123" for k in "ab"
    ]


def test_killed_anywhere_a_search_has_the_trials_of_one_that_was_not(tmp_path):
    for sampler in ("random", "tpe"):
        given = {"sampler": {"name": sampler}, "trials": 12}
        whole, _ = run(plan(**given), tmp_path / sampler / "whole")
        folder, starts = tmp_path / sampler / "killed", []
        for end in (1, 5, 6, 11):
            count = 0

            def killing(trial, step, end=end):
                nonlocal count
                count += 1
                if count == end:
                    raise Killed
                return loss(trial, step)

            with pytest.raises(Killed):
                _, pool = run(plan(**given), folder, metrics=killing)
        resumed, pool = run(plan(**given), folder)
        starts += [trial.number for trial in pool.ran]
        assert points(resumed) == points(whole)
        assert [trial.state.name for trial in stored(folder)] == ["COMPLETE"] * 12
        records = read_records(folder)
        assert {record.status for record in records.values()} == {"complete"}
        assert len(records) == 12


def test_a_trial_that_ended_before_its_end_was_stored_is_not_run_again(tmp_path):
    run(plan(trials=3), tmp_path)
    with sqlite3.connect(tmp_path / "search.db") as database:
        database.execute("UPDATE trials SET state='RUNNING' WHERE number=2")
        database.execute("DELETE FROM trial_values WHERE trial_id=3")
    trials, pool = run(plan(trials=4), tmp_path)
    assert [trial.number for trial in pool.ran] == [3]
    assert [one.outcome.status for one in trials] == [TrialStatus.COMPLETE] * 4


def test_a_failed_trial_does_not_end_the_search(tmp_path):
    def failing(trial, step):
        if trial.number == 2:
            raise ArithmeticError("overflow")
        if trial.number == 3:
            return {"loss": float("nan")}
        return loss(trial, step)

    trials, _ = run(plan(trials=6), tmp_path, metrics=failing)
    assert [one.outcome.status.value for one in trials] == [
        "complete",
        "complete",
        "failed",
        "failed",
        "complete",
        "complete",
    ]
    assert trials[3].outcome.error == "the objective loss is nan"
    assert [trial.state.name for trial in stored(tmp_path)][2:4] == ["FAIL"] * 2
    assert read_records(tmp_path)[2].error == "overflow"


def test_a_pool_is_kept_full(tmp_path):
    _, pool = run(plan(trials=9), tmp_path, slots=4)
    assert pool.most == 4
    assert len(pool.ran) == 9


def test_the_median_pruner_ends_trials_and_others_take_their_place(tmp_path):
    pruner = {"name": "median", "n_startup_trials": 2}
    trials, _ = run(plan(trials=16, pruner=pruner), tmp_path)
    statuses = [one.outcome.status.value for one in trials]
    assert len(statuses) == 16
    assert set(statuses) == {"complete", "pruned"}
    # What a median pruner does, computed by hand on the losses of the first step.
    complete: list[float] = []
    for one, status in zip(trials, statuses, strict=True):
        x2 = float(one.settings["x"]) ** 2
        middle = sorted(complete)
        half = len(middle) // 2
        median = (middle[half] + middle[~half]) / 2 if middle else 0.0
        expected = len(complete) >= 2 and x2 > median
        assert (status == "pruned") == expected
        if status == "complete":
            complete.append(x2)


@pytest.mark.parametrize("name", ["hyperband", "asha"])
def test_halving_prunes(tmp_path, name):
    pruner = {"name": name, "reduction_factor": 2}
    trials, _ = run(plan(trials=16, pruner=pruner), tmp_path)
    assert "pruned" in {one.outcome.status.value for one in trials}


def test_a_pruned_trial_that_is_killed_ends_where_it_resumes(tmp_path, monkeypatch):
    given = {"trials": 6, "pruner": {"name": "median", "n_startup_trials": 2}}
    whole, _ = run(plan(**given), tmp_path / "whole")
    pruned = [one.number for one in whole if one.outcome.status.value == "pruned"]

    def kill(self, trial, status, result):
        if status is TrialStatus.PRUNED:
            raise Killed
        return ended(self, trial, status, result)

    folder, ended = tmp_path / "killed", FakePool.ended
    with monkeypatch.context() as patch:
        patch.setattr(FakePool, "ended", kill)
        with pytest.raises(Killed):
            run(plan(**given), folder)

    def better(trial, step):
        """A loss that no pruner would end, from where the trial resumes."""
        return {"loss": -1.0} if trial.number == pruned[0] else loss(trial, step)

    run(plan(**given), folder, metrics=better, steps=(2, 3))
    trial, expected = stored(folder)[pruned[0]], stored(tmp_path / "whole")[pruned[0]]
    assert trial.state.name == "PRUNED"
    assert trial.intermediate_values == expected.intermediate_values


def test_of_a_pack_some_are_pruned_and_the_best_is_not(tmp_path):

    answers = []

    class Pack:
        slots = 8

        def __init__(self, on_start, on_reports):
            self.queue, self.on_start, self.on_reports = [], on_start, on_reports

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, trial):
            self.queue.append(trial)

        def next_outcome(self):
            reports = [
                TrialReport(number=trial.number, step=1, metrics={"loss": number})
                for number, trial in enumerate(self.queue)
            ]
            answers.extend(self.on_reports(reports))
            raise Killed

    pruner = {"name": "asha", "reduction_factor": 4}
    loop = Search(plan(trials=8, pruner=pruner), tmp_path, lambda *_: [], NoWatcher())
    with pytest.raises(Killed):
        loop.run(Pack)
    assert 0 not in answers
    assert answers
    assert len(answers) < 7


def test_repeats_are_one_trial_with_mean_and_spread(tmp_path):
    def by_seed(trial, step):
        seed = int(value_of(trial.overrides)["seed"])
        return {"loss": loss(trial, step)["loss"] + seed}

    trials, pool = run(plan(trials=3, repeats=5), tmp_path, metrics=by_seed)
    assert len(pool.ran) == 15
    for one in trials:
        result = one.outcome.result
        x2 = float(one.settings["x"]) ** 2
        assert result["eval"]["loss"] == pytest.approx(x2 + 2)
        # Sample standard deviation of 0, 1, 2, 3, 4.
        assert result["spread"]["loss"] == pytest.approx(2.5**0.5)
        assert result["runs"] == [f"seed-{seed}" for seed in range(5)]
        written = json.loads((tmp_path / str(one.number) / "result.json").read_text())
        assert written["eval"] == result["eval"]
    assert [one.value for one in stored(tmp_path)] == [
        pytest.approx(float(one.settings["x"]) ** 2 + 2) for one in trials
    ]


def test_several_objectives_and_constraints_are_stored(tmp_path):
    given = {
        "objectives": [
            {"metric": "loss"},
            {"metric": "x", "direction": "maximize"},
        ],
        "constraints": [{"metric": "x", "at_most": 0.5}],
        "sampler": {"name": "nsga2", "population_size": 4},
    }
    trials, _ = run(plan(trials=10, **given), tmp_path)
    for frozen, one in zip(stored(tmp_path), trials, strict=True):
        x = float(one.settings["x"])
        assert frozen.values == [pytest.approx(x * x), x]
        assert frozen.constraints == {"0.x": pytest.approx(x - 0.5)}


def test_another_search_in_the_same_directory_is_refused(tmp_path):
    run(plan(trials=2), tmp_path)
    with pytest.raises(ConfigError, match=r"sweep\.space: differs from that"):
        run(plan(X, trials=2), tmp_path)


def test_what_all_trials_have_in_common_is_the_same_in_each_call(tmp_path):
    fixed = {"loop.train_steps": "200", "optimizer.b1": "0.9"}
    run(dataclasses.replace(plan(trials=2), fixed=fixed), tmp_path)
    other = {"loop.train_steps": "400", "seed": "1"}
    with pytest.raises(ConfigError) as error:
        run(dataclasses.replace(plan(trials=4), fixed=other), tmp_path)
    hint = "Type the same as there to resume, or choose another output.dir."
    differs = f"differs from that of the search in {tmp_path}"
    assert [str(one) for one in error.value.diagnostics] == [
        f"loop.train_steps: {differs}: 200 there, 400 here. {hint}",
        f"optimizer.b1: {differs}: 0.9 there, absent here. {hint}",
        f"seed: {differs}: absent there, 1 here. {hint}",
    ]
    assert len(stored(tmp_path)) == 2


def test_a_search_of_another_name_does_not_share_a_directory(tmp_path):
    run(plan(trials=2), tmp_path)
    with pytest.raises(ConfigError, match=r"sample there, other here\."):
        run(dataclasses.replace(plan(trials=2), name="other"), tmp_path)


def test_a_search_of_the_same_directory_with_more_trials_is_the_same(tmp_path):
    run(plan(trials=2), tmp_path)
    trials, _ = run(plan(trials=3), tmp_path)
    assert len(trials) == 3


def test_a_timeout_starts_no_further_trial(tmp_path, monkeypatch):
    clock = iter(range(0, 1_000_000, 10))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    trials, _ = run(plan(trials=50, timeout="5m"), tmp_path)
    assert 0 < len(trials) < 50


def test_a_trial_whose_answer_was_lost_runs_first_and_costs_no_other(
    tmp_path, monkeypatch
):
    """The connection ends after the database has stored the trial."""
    whole, _ = run(plan(trials=6), tmp_path / "whole")
    create, count = RDBStorage._create_new_trial, 0

    def lost(self, *arguments):
        nonlocal count
        created, count = create(self, *arguments), count + 1
        if count == 3:
            raise StorageInternalError("the connection is lost")
        return created

    monkeypatch.setattr(RDBStorage, "_create_new_trial", lost)
    storage = f"sqlite:///{tmp_path}/other.db"  # A URL, as that of a server.
    trials, _ = run(plan(trials=6, storage=storage), tmp_path / "other")
    assert count == 6
    assert points(trials) == points(whole)
    study = optuna.load_study(study_name="sample/other", storage=storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 6


def older(storage):
    """Lets an hour pass for a database."""
    with sqlite3.connect(storage.removeprefix("sqlite:///")) as database:
        for table, column in (
            ("trials", "datetime_start"),
            ("trial_heartbeats", "heartbeat"),
        ):
            # Of equal form: they are compared as text.
            database.execute(
                f"UPDATE {table} SET {column}="
                f"strftime('%Y-%m-%d %H:%M:%f', {column}, '-1 hour')"
            )


def killed_after(monkeypatch, name, call, *search):
    """Runs a search whose process ends after a call of the storage."""
    method, calls = getattr(RDBStorage, name), 0

    def killing(self, *arguments, **options):
        nonlocal calls
        result, calls = method(self, *arguments, **options), calls + 1
        if calls == call:
            raise Killed
        return result

    with monkeypatch.context() as patched:
        patched.setattr(RDBStorage, name, killing)
        with pytest.raises(Killed):
            run(*search)


@pytest.mark.parametrize("folder", ["killed", "another"])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("_create_new_trial", 2),
        ("record_heartbeat", 2),
        ("_set_trial_param", 3),
        ("set_trial_user_attr", 2),
    ],
)
def test_killed_before_the_start_of_a_trial_a_search_in_a_database_has_it_once(
    tmp_path, monkeypatch, name, call, folder
):
    """After each thing that it stores between asking for a trial and starting it."""
    storage = f"sqlite:///{tmp_path}/search.db"
    of = plan(trials=3, storage=storage, study="one")
    killed_after(monkeypatch, name, call, of, tmp_path / "killed")
    older(storage)
    _, pool = run(of, tmp_path / folder)
    assert len(pool.ran) == 2
    trials = optuna.load_study(study_name="one", storage=storage).trials
    states = [trial.state.name for trial in trials]
    if folder == "killed":  # With its number, so that its run directory resumes.
        assert states == ["COMPLETE"] * 3
    else:
        assert states == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_a_process_that_is_killed_while_others_look_for_its_trials_is_known(
    tmp_path, monkeypatch
):
    """In a database: they resume in their directory under their numbers."""
    storage = f"sqlite:///{tmp_path}/search.db"
    of = plan(trials=3, storage=storage, study="one")
    lock = threading.Event()

    def killed():
        with pytest.raises(Killed):
            run(of, tmp_path / "one", metrics=dies)
        lock.set()

    looked, waits = threading.Event(), threading.Event()

    def dies(trial, step):
        waits.set()
        looked.wait()
        raise Killed

    monkeypatch.setattr(Supervisors, "__exit__", ended_at_once)
    other = threading.Thread(target=killed)
    other.start()
    waits.wait()
    found = StudyTrials._abandoned

    def abandoned(self):
        trial = found(self)
        if trial is None and not lock.is_set():
            looked.set()
            # It ends as a killed one: without its turn.
            other.join()
        return trial

    monkeypatch.setattr(StudyTrials, "_abandoned", abandoned)
    _, pool = run(of, tmp_path / "one")
    other.join()
    _, rest = run(of, tmp_path / "one")
    trials = optuna.load_study(study_name="one", storage=storage).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    assert sorted(one.number for one in pool.ran + rest.ran) == [0, 1, 2]


def ended_at_once(self, *_):
    """As the end of a process that is killed."""
    self._lock.release()


def test_killed_before_the_start_of_a_copy_a_search_has_it_once(tmp_path, monkeypatch):
    """Of a trial whose machine was lost: a second machine is lost too."""
    storage = f"sqlite:///{tmp_path}/search.db"
    of = plan(trials=3, storage=storage, study="one")
    killed_after(monkeypatch, "_create_new_trial", 3, of, tmp_path / "first")
    for folder, method, call in (
        ("second", "set_trial_state_values", 2),  # The copy runs: it was popped.
        ("third", "record_heartbeat", 1),
        ("fourth", "set_trial_user_attr", 1),
    ):
        older(storage)
        killed_after(monkeypatch, method, call, of, tmp_path / folder)
    older(storage)
    _, pool = run(of, tmp_path / "fifth")
    assert len(pool.ran) == 1
    trials = optuna.load_study(study_name="one", storage=storage).trials
    states = [trial.state.name for trial in trials]
    assert states.count("COMPLETE") == 3
    assert "RUNNING" not in states
    assert "WAITING" not in states
