"""Sweeps through Hydra's own sweeper and launcher, over a task that trains nothing."""

import datetime
from pathlib import Path

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from specflow.compose import compose
from specflow.diagnostics.errors import ConfigError, DataError, Diagnostic
from specflow.sweep import sweep_folders
from specflow.sweep.hydra_jobs import sweep
from specflow.sweep.outcomes import table


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
        "trial  optimizer.lr  seed  step  loss",
        "0      0.001         1     1200  0.001",
        "1      0.001         2     1200  0.001",
        "2      0.01          1     1200  0.01",
        "3      0.01          2     1200  0.01",
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


def test_directories_can_be_named_by_the_swept_keys():
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
        "0      1     1000  0.001",
        "3      2     1000  0.001",
        "1      13    failed (config): no rows.",
        "2      14    failed (bug): ZeroDivisionError: a bug",
    ]
    printed = capsys.readouterr().err
    assert "error: trial 1: no rows." in printed
    assert "Traceback" in printed  # Of the bug, which nobody raised on purpose.


def test_no_job_starts_when_one_cannot_be_composed(capsys):
    started = []
    with pytest.raises(ConfigError) as caught:
        sweep(["optimizer.lr=1e-3,fast", "loop.batch_size=0,8"], started.append)
    assert started == []
    assert files() == []
    assert [str(diagnostic) for diagnostic in caught.value.diagnostics] == [
        "loop.batch_size: got 0 in trial 0 of 4: optimizer.lr=0.001 loop.batch_size=0, "
        "and 1 more (override loop.batch_size=0). Expected a whole number > 0.",
        "optimizer.lr: got 'fast' in trial 2 of 4: optimizer.lr=fast "
        "loop.batch_size=0, and 1 more (override optimizer.lr=fast). Expected a "
        "number > 0.",
    ]


def test_the_job_of_a_mistake_is_named_before_the_first_one_starts():
    started = []
    rates = "optimizer.lr=1e-4,3e-4,1e-3,-1,3e-3,1e-2,3e-2,1e-1"
    with pytest.raises(ConfigError) as caught:
        sweep([rates, "loop.batch_size=8"], started.append)
    assert started == []
    assert files() == []
    assert str(caught.value) == (
        "optimizer.lr: got -1 in trial 3 of 8: optimizer.lr=-1 (override "
        "optimizer.lr=-1). Expected a number > 0."
    )


def test_a_mistake_in_every_job_is_of_no_job():
    with pytest.raises(ConfigError) as caught:
        sweep(["optimizer.lr=1,2", "loop.batch_size=0"], str)
    assert str(caught.value) == (
        "loop.batch_size: got 0 (override loop.batch_size=0). Expected a whole "
        "number > 0."
    )


def test_launcher_and_sweeper_are_chosen_in_hydras_groups():
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


def in_file(project, params, more=""):
    head = "# @package _global_\ndefaults:\n  - /experiment/digits_mlp\n  - _self_\n"
    text = f"{head}name: own\nhydra:\n  sweeper:\n    params:\n{params}{more}"
    project({"mine/experiment/own.yaml": text})


def own(*words, run=task):
    return sweep(["experiment=own", *words], run, config_dirs=["mine"])


def test_a_sweep_in_a_file_takes_fields_that_no_file_mentions(project):
    """Hydra documents `hydra.sweeper.params` as the way to keep a sweep in a file."""
    in_file(
        project, "      seed: 1,2\n      optimizer.lr: 1e-3,1e-2\n      mesh: fsdp\n"
    )
    seen = []
    own(run=lambda composed: seen.append(composed) or {})
    assert [(one.config.seed, one.config.optimizer.lr) for one in seen] == [
        *((1, 1e-3), (1, 1e-2)),
        *((2, 1e-3), (2, 1e-2)),
    ]
    assert {one.choices["mesh"] for one in seen} == {"fsdp"}


def test_the_command_line_wins_over_a_sweep_in_a_file(project):
    """Hydra's BasicSweeper: of one key, the later override counts."""
    in_file(project, "      seed: 1,2\n      optimizer.lr: 1e-3,fast\n")
    outcomes = own("optimizer.lr=0.5", "seed=7,8")
    assert [one.result["eval"]["loss"] for one in outcomes] == [0.5, 0.5]


def test_trials_in_a_file_are_validated_before_the_first_one_starts(project):
    params = "      optimizer.lr: 0.1,fast\n      seed: -1,2\n      mesh: data,fspd\n"
    in_file(project, params)
    started = []
    with pytest.raises(ConfigError) as caught:
        own(run=started.append)
    assert [str(diagnostic) for diagnostic in caught.value.diagnostics] == [
        "mesh: no choice named 'fspd' (mine/experiment/own.yaml:11:7). Did you mean "
        "mesh=fsdp? Choices: data, fsdp, fsdp_tensor, hybrid, single, tensor.",
    ]
    in_file(project, params.replace("fspd", "fsdp"))
    with pytest.raises(ConfigError) as caught:
        own(run=started.append)
    at = "mine/experiment/own.yaml"
    assert {str(diagnostic) for diagnostic in caught.value.diagnostics} == {
        "seed: got -1 in trial 0 of 8: mesh=data optimizer.lr=0.1 seed=-1, and 3 more "
        f"({at}:10:7). Expected a whole number >= 0.",
        "optimizer.lr: got 'fast' in trial 2 of 8: mesh=data optimizer.lr=fast "
        f"seed=-1, and 3 more ({at}:9:7). Expected a number > 0.",
    }
    assert started == []
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        # Hydra's BasicSweeper makes one value of a list: that is no sweep over it.
        ("seed: [1, 2]", "seed: got [1,2] ({}:9:7). Expected a whole number >= 0."),
        ("optimizer: {lr: '1,2'}",
         "optimizer.lr: got '1,2' ({}:9:7). Expected a number > 0. Did you mean 1.2?"),
    ],
)  # fmt: skip
def test_values_in_a_file_that_are_not_text_are_validated_as_they_are(
    project, params, expected
):
    in_file(project, f"      {params}\n")
    with pytest.raises(ConfigError) as caught:
        own()
    assert str(caught.value) == expected.format("mine/experiment/own.yaml")


def test_a_list_of_a_file_is_one_value(project):
    in_file(project, "      model.hidden: [8, 4]\n      seed: 1,2\n")
    seen = []
    own(run=lambda composed: seen.append(composed.config) or {})
    assert [(one.seed, list(one.model.hidden)) for one in seen] == [
        *((1, [8, 4]), (2, [8, 4])),
    ]


def test_a_mistake_in_every_trial_of_a_file_is_reported_once(project):
    in_file(project, "      seeed: 1,2\n")
    with pytest.raises(ConfigError) as caught:
        own()
    assert len(caught.value.diagnostics) == 1


def test_params_on_the_command_line_have_that_origin(project):
    in_file(project, "      seed: 1,2\n")
    with pytest.raises(ConfigError, match=r"\(override hydra.sweeper.params.seed=-1\)"):
        own("hydra.sweeper.params.seed=-1")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mesh=glob(zzz*)", "mesh: has no values (override mesh=glob(zzz*)). Expected "
         "one or more of data, fsdp, fsdp_tensor, hybrid, single, tensor."),
        ("seed=range(3,1)", "seed: has no values (override seed=range(3,1)). Expected "
         "one value or more."),
    ],
)  # fmt: skip
def test_a_sweep_over_nothing_is_refused(line, expected):
    with pytest.raises(ConfigError) as caught:
        sweep(["experiment=digits", line], task)
    assert str(caught.value) == expected


def test_sweeps_of_one_name_and_second_have_a_folder_each(monkeypatch):
    """Of hydra#1607: sweeps that start in the same second wrote into each other."""

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr(sweep_folders.datetime, "datetime", Clock)
    words = ["experiment=digits", "seed=1,2"]
    found = [
        [one.result["eval"]["dir"] for one in sweep(words, task)] for _ in range(3)
    ]
    stamp = "runs/digits/2026-01-02_03-04-05"
    assert found == [
        [f"{stamp}/0", f"{stamp}/1"],
        [f"{stamp}_2/0", f"{stamp}_2/1"],
        [f"{stamp}_3/0", f"{stamp}_3/1"],
    ]
    # One of two names is taken: neither is shared.
    both = sweep(["experiment=digits,digits_mlp"], task)
    assert [one.result["eval"]["dir"] for one in both] == [
        f"{stamp}_4/0",
        "runs/digits_mlp/2026-01-02_03-04-05_4/1",
    ]


def test_a_named_folder_of_a_sweep_is_reused():
    for _ in range(2):
        (outcome,) = sweep(["seed=1", "output.dir=out"], task)
        assert outcome.result["eval"]["dir"] == "out/0"


def test_a_job_in_its_own_folder_finds_the_configs(project, monkeypatch):
    in_file(project, "      seed: 1,2\n")
    seen = []

    def run(composed):
        seen.append((Path.cwd().name, composed.config.output.dir))
        return {}

    outcomes = own("hydra.job.chdir=true", "output.dir=o", run=run)
    assert [one.error for one in outcomes] == ["", ""]
    here = Path.cwd()
    assert seen == [("0", str(here / "o/0")), ("1", str(here / "o/1"))]


def test_a_job_in_its_own_folder_finds_its_run(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text(compose(["seed=5"]).yaml())
    words = ["run=run", "seed=1,2", "hydra.job.chdir=true", "output.dir=o"]
    assert [one.error for one in sweep(words, task)] == ["", ""]


def test_the_directory_of_each_job_is_checked_before_the_first_one_starts():
    seen, ran = [], []

    def check(composed, directory):
        seen.append((composed.config.seed, directory))
        if composed.config.seed > 1:
            raise ConfigError(Diagnostic("output.dir", f"{directory} is taken"))

    with pytest.raises(ConfigError) as error:
        sweep(["seed=1,2,3", "output.dir=out"], ran.append, check=check)
    assert seen == [(1, "out/0"), (2, "out/1"), (3, "out/2")]
    assert [str(one) for one in error.value.diagnostics] == [
        "output.dir: out/1 is taken.",
        "output.dir: out/2 is taken.",
    ]
    assert not ran
    assert files() == []
    seen.clear()
    sweep(["seed=0,1", "output.dir=by/${seed}"], task, check=check)
    assert seen == [(0, "by/0"), (1, "by/1")]
    seen.clear()
    sweep(["seed=0,1"], task, check=check)
    assert seen == []  # Named by the time: nobody else has it.


def test_two_jobs_of_one_directory_are_refused():
    ran = []
    with pytest.raises(ConfigError) as error:
        sweep(["seed=1", "optimizer.lr=1,2", "output.dir=out/${seed}"], ran.append)
    assert str(error.value) == (
        "output.dir: 'out/1' is the directory of trial 0 and of trial 1 (override "
        "output.dir=out/${seed}). Expected one directory per trial. Put every swept "
        "key into it, or set output.dir=DIR for DIR/0, DIR/1 and so on."
    )
    assert not ran


def test_hydra_does_not_compose_each_job_of_a_grid_once_more(monkeypatch):
    """Hydra's BasicSweeper validates a batch by composing it; it is checked already."""
    composed = []
    loader = ConfigLoaderImpl.load_sweep_config

    def counting(self, config, overrides):
        composed.append(list(overrides))
        return loader(self, config, overrides)

    monkeypatch.setattr(ConfigLoaderImpl, "load_sweep_config", counting)
    assert len(sweep(["seed=1,2"], task)) == 2
    assert composed == [["++seed=1"], ["++seed=2"]]  # By the launcher.
