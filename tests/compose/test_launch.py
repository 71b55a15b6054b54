"""Sweeps through Hydra's own sweeper and launcher, over a task that trains nothing."""

from pathlib import Path

import pytest

from specflow.compose.launch import sweep, table
from specflow.errors import ConfigError, DataError


def task(composed):
    """A job whose result can be told from its config."""
    config = composed.config
    if config.seed == 13:
        raise DataError("no rows")
    if config.seed == 14:
        raise ZeroDivisionError("a bug")
    return {
        "step": config.loop.train_steps,
        "eval": {"loss": config.optimizer.lr, "dir": config.output.dir},
    }


@pytest.fixture(autouse=True)
def here(project):
    return project({})


def files():
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


def test_a_grid_runs_every_combination_in_order():
    words = ["experiment=digits", "optimizer.lr=1e-3,1e-2", "seed=1,2", "mesh=fsdp"]
    outcomes = sweep(words, task)
    assert [outcome.result["eval"]["loss"] for outcome in outcomes] == [
        *(1e-3, 1e-3),
        *(1e-2, 1e-2),
    ]
    assert table(outcomes).splitlines() == [
        "job  optimizer.lr  seed  step  loss",
        "0    0.001         1     1200  0.001",
        "1    0.001         2     1200  0.001",
        "2    0.01          1     1200  0.01",
        "3    0.01          2     1200  0.01",
    ]


def test_jobs_get_numbered_directories_and_nothing_else_is_written():
    outcomes = sweep(["experiment=digits", "seed=1,2"], task)
    first, second = (Path(one.result["eval"]["dir"]) for one in outcomes)
    assert first.parent == second.parent
    assert first.parent.parent == Path("runs/digits")
    assert (first.name, second.name) == ("0", "1")
    assert files() == [str(first.parent / "multirun.yaml")]


def test_a_shared_directory_becomes_the_sweeps():
    outcomes = sweep(["seed=1,2", "output.dir=out/a b"], task)
    assert [one.result["eval"]["dir"] for one in outcomes] == ["out/a b/0", "out/a b/1"]


def test_directories_can_be_named_by_what_varies():
    outcomes = sweep(["seed=1,2", "output.dir=out/${seed}"], task)
    assert [one.result["eval"]["dir"] for one in outcomes] == ["out/1", "out/2"]


def test_experiments_are_swept_by_a_glob():
    outcomes = sweep(["experiment=glob(digits*,exclude=*t)"], task)
    assert [Path(one.result["eval"]["dir"]).parts[1] for one in outcomes] == [
        "digits",
        "digits_mlp",
    ]


def test_one_failed_job_does_not_lose_the_others(capsys):
    outcomes = sweep(["seed=1,13,14,2"], task)
    assert [one.error for one in outcomes] == [
        "",
        "no rows.",
        "ZeroDivisionError: a bug",
        "",
    ]
    assert table(outcomes).splitlines()[1:] == [
        "0    1     1000  0.001",
        "1    13    failed: no rows.",
        "2    14    failed: ZeroDivisionError: a bug",
        "3    2     1000  0.001",
    ]
    printed = capsys.readouterr().err
    assert "error: job 1: no rows." in printed
    assert "Traceback" in printed  # Of the bug, which nobody raised on purpose.


def test_no_job_starts_when_one_cannot_be_composed(capsys):
    started = []
    with pytest.raises(ConfigError) as caught:
        sweep(["optimizer.lr=1e-3,fast", "loop.batch_size=0,8"], started.append)
    assert started == []
    assert files() == []
    assert [str(fault) for fault in caught.value.faults] == [
        "loop.batch_size: got 0 (override loop.batch_size=0). "
        "Expected a whole number > 0.",
        "optimizer.lr: got 'fast' (override optimizer.lr=fast). Expected a number > 0.",
    ]


def test_launcher_and_sweeper_are_hydras_choices():
    words = ["seed=1,2", "hydra/launcher=basic", "hydra.sweeper.max_batch_size=1"]
    assert len(sweep(words, task)) == 2
    with pytest.raises(ConfigError, match="no choice named 'nope'"):
        sweep(["seed=1,2", "hydra/launcher=nope"], task)


def test_a_stop_by_signal_ends_the_sweep():
    class Stopped(Exception):
        exit_code = 130

    def stop(composed):
        seen.append(composed.config.seed)
        raise Stopped

    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        sweep(["seed=1,2"], stop)
    assert seen == [1]


def test_a_field_that_no_file_mentions_can_be_swept():
    outcomes = sweep(["optimizer.clip_norm=0.5,1.0"], lambda c: {"step": 1, "eval": {}})
    assert [one.overrides for one in outcomes] == [
        ("++optimizer.clip_norm=0.5",),
        ("++optimizer.clip_norm=1.0",),
    ]
