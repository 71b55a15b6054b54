"""Searches in a real PostgreSQL; `.ci/postgres pytest -m postgres` starts one."""

import multiprocessing
import os
import uuid
from pathlib import Path

import optuna
import pytest

from specflow.diagnostics.errors import MachineError
from specflow.sweep.search.study_storage import close_study
from tests.sweep.search_samples import loss, plan, run

URL = os.environ.get("SPECFLOW_TEST_POSTGRES", "")
pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not URL, reason="SPECFLOW_TEST_POSTGRES names no server"),
]


class Killed(BaseException):
    """The process ended here."""


def given(**more):
    name = f"search-{uuid.uuid4().hex}"
    return {"storage": URL, "study": name, "sampler": {"name": "random"}, **more}


def trials_of(sweep):
    study = optuna.load_study(study_name=sweep["study"], storage=URL)
    try:
        return study.trials
    finally:
        close_study(study)


def share(sweep, directory):
    run(plan(**sweep), Path(directory), slots=2)


def test_killed_anywhere_a_search_loses_and_repeats_no_trial(tmp_path):
    sweep = given(trials=10)
    for end in (1, 5, 12):
        count = 0

        def killing(trial, step, end=end):
            nonlocal count
            count += 1
            if count == end:
                raise Killed
            return loss(trial, step)

        with pytest.raises(Killed):
            run(plan(**sweep), tmp_path / "killed", metrics=killing)
    trials, _ = run(plan(**sweep), tmp_path / "killed")
    whole, _ = run(plan(**given(trials=10)), tmp_path / "whole")
    assert [one.settings for one in trials] == [one.settings for one in whole]
    assert [trial.state.name for trial in trials_of(sweep)] == ["COMPLETE"] * 10


def test_processes_on_a_fresh_database_share_the_work(tmp_path):
    sweep = given(trials=24)
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=share, args=(sweep, str(tmp_path))) for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    trials = trials_of(sweep)
    assert [trial.number for trial in trials] == list(range(24))
    assert len({trial.params["x"] for trial in trials}) == 24


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path):
    url = f"postgresql://search:secret@/postgres?host={tmp_path}"
    with pytest.raises(MachineError) as error:
        run(plan(**given(storage=url)), tmp_path / "sweep")
    assert "postgresql://search:***@/postgres" in str(error.value)
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert "secret" not in str(error.value)
    assert not any(b"secret" in file.read_bytes() for file in written)
