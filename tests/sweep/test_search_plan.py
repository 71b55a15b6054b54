"""Spaces of searches: what is refused before the first trial, and from where."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.cli.main import main
from specflow.compose.overrides import compose
from specflow.compose.read.config_folders import folders
from specflow.compose.read.override_grammar import read
from specflow.diagnostics.errors import ConfigError
from specflow.sweep.search.search_plan import plan_search
from specflow.sweep.search.search_space import search_space

BASE = ["experiment=digits_mlp", "sweep=random"]


def plan(*lines):
    request, diagnostics = read([*BASE, *lines], folders())
    assert not diagnostics
    return plan_search(request, compose)


@pytest.mark.parametrize(
    ("lines", "problems"),
    [
        (
            ["optimizer.lr=interval(8,1)"],
            ["optimizer.lr: got interval(8,1) ({}). Expected the lower end first"],
        ),
        (
            ["optimizer.lr=-1,0.1", "model.dropout=interval(0,2)"],
            [
                "optimizer.lr: got -1 (override optimizer.lr=-1,0.1). Expected a "
                "number > 0.",
                "model.dropout: got 2.0 (override model.dropout=interval(0,2)).",
            ],
        ),
        (["optimizer.lrr=1,2"], ["optimizer.lrr: no such field ({})."]),
        (["loop.batch_size=interval(1,8)"], ["Write int(interval(1,8))."]),
        (["optimizer.lr=tag(log,interval(0,1))"], ["Expected a lower end > 0"]),
        (["sweep.trials=1,2"], ["sweep.trials: is no part of a trial"]),
        (["seed=1,2", "sweep.repeats=2"], ["seed: is searched"]),
        ([], ["sweep.space: has nothing to search."]),
        (
            ["sweep=asha", "loop.eval_every=0", "optimizer.lr=0.1,0.2"],
            ["loop.eval_every: got 0"],
        ),
        (
            ["sweep=grid", "optimizer.lr=interval(0.1,1)"],
            ["Expected a choice, a range or int(interval(...))"],
        ),
        (
            ["sweep=cmaes", "model.activation=relu,gelu"],
            ["Expected an interval or a range of numbers for sweep.sampler=cmaes"],
        ),
    ],
)
def test_a_space_that_does_not_fit_is_refused_once_with_its_origin(lines, problems):
    with pytest.raises(ConfigError) as error:
        plan(*lines)
    assert len(error.value.diagnostics) == len(problems)
    origin = f"override {lines[0]}" if lines else ""
    for shown, problem in zip(error.value.diagnostics, problems, strict=True):
        assert problem.format(origin) in str(shown)


def test_several_objectives_with_pruning_are_refused():
    objectives = "sweep.objectives=[{metric: loss},{metric: accuracy}]"
    with pytest.raises(ConfigError, match="only a search with one objective"):
        plan("sweep=median", objectives, "optimizer.lr=0.1,0.2")


def test_what_a_sampler_needs_is_named_before_the_first_trial(monkeypatch):
    """The Gaussian process would ask for torch at its eleventh trial alone."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *of: None if name == "torch" else find(name, *of),
    )
    with pytest.raises(ConfigError) as error:
        plan("sweep=gp", "optimizer.lr=interval(0.1,1)")
    assert str(error.value) == (
        "sweep.sampler.name: gp needs the package torch, which is not installed "
        "(conf/sweep/gp.yaml:4:11). pip install torch."
    )


def test_what_changes_results_is_fixed_and_what_is_searched_is_not():
    fixed = plan("optimizer.lr=0.1,0.2", "loop.train_steps=70").fixed
    assert fixed["loop.train_steps"] == "70"
    assert "optimizer.lr" not in fixed
    assert not [key for key in fixed if key.startswith(("output.", "sweep."))]
    same = plan("optimizer.lr=0.1,0.2", "loop.train_steps=70", "loop.log_every=3")
    assert same.fixed == fixed


def test_the_resources_of_epochs_are_steps_where_the_rows_are_known():
    epochs = ["optimizer.lr=0.1,0.2", "loop.epochs=2", "loop.eval_every=1 epoch"]
    found = plan("sweep=hyperband", *epochs)
    assert (found.train_steps, found.every) == (23, 12)  # 1,438 rows in batches of 128.
    text = ["experiment=stdlib_lm", *epochs]
    with pytest.raises(ConfigError) as error:
        plan("sweep=hyperband", *text)
    assert [one.where for one in error.value.diagnostics] == [
        "sweep.pruner.min_resource",
        "sweep.pruner.max_resource",
    ]
    assert "are not known before the data is read" in str(error.value)
    # A pruner that counts no steps, or that is given them, needs none.
    plan("sweep=median", *text)
    resources = ["sweep.pruner.min_resource=5", "sweep.pruner.max_resource=50"]
    plan("sweep=hyperband", *resources, *text)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:hunter2@db/search",
        "postgresql://ann:hunter2/x@db/search",
        "'mysql://db/search?user=ann&password=hunter2'",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_printed(url, capsys, monkeypatch):
    monkeypatch.setenv("THE_URL", url.strip("'"))
    for written in (url, "${oc.env:THE_URL}"):
        words = [*BASE, f"sweep.storage={written}"]
        for command in (["show"], ["train", "-m", "optimizer.lr=0.1,0.2"]):
            assert main([*command, *words]) == 2
        printed = "".join(capsys.readouterr())
        assert "sweep.storage: has a password in its URL" in printed
        assert "hunter2" not in printed


def test_no_message_shows_the_password_of_a_url(capsys):
    url = "postgresql://ann:hunter2@db/search"
    for line in (f"sweep.storge={url}", f"sweep.storage={url}[", f"seed={url}"):
        assert main(["show", *BASE, line]) == 2
        printed = capsys.readouterr().err
        assert "postgresql://ann:***@db/search" in printed
        assert "hunter2" not in printed


def test_a_search_is_no_part_of_a_trial():
    found = plan("optimizer.lr=0.1,0.2", "sweep.seed=3", "seed=7")
    assert found.lines == ("experiment=digits_mlp", "seed=7")
    lines = [*BASE, "sweep.trials=5"]
    assert compose(lines).yaml() == compose(BASE[:1]).yaml()


def test_text_choices_reach_a_trial_as_text():
    request, _ = read(["name=choice('1e3','null',plain)"], folders())
    (dimension,) = search_space({}, request)
    lines = [dimension.override(value) for value in dimension.choices]
    assert [compose([line]).config.name for line in lines] == ["1e3", "null", "plain"]


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9))
def test_an_interval_has_the_ends_that_were_written(low, high):
    request, _ = read([f"optimizer.lr=interval({low!r},{high!r})"], folders())
    if low < high:
        (dimension,) = search_space({}, request)
        assert (dimension.low, dimension.high) == (low, high)
    else:
        with pytest.raises(ConfigError):
            search_space({}, request)


def test_a_wrong_range_in_a_file_is_placed_at_its_key(tmp_path, monkeypatch):
    """Ranges as in Optuna and Weights & Biases, which are no text."""
    head = "# @package _global_\ndefaults: [/experiment/digits_mlp, _self_]\n"
    keys = (
        "    optimizer.lr: {min: 1e-4, max: 1e-1, log: true}\n    seed: {values: [1]}\n"
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine/experiment").mkdir(parents=True)
    Path("mine/experiment/own.yaml").write_text(f"{head}sweep:\n  space:\n{keys}")
    search = ["experiment=own"]
    own = folders(["mine"])
    with pytest.raises(ConfigError) as error:
        plan_search(
            read(search, own)[0], lambda lines: compose(lines, config_dirs=["mine"])
        )
    expected = (
        "Expected interval(1e-5,1e-1), tag(log,interval(1e-5,1e-1)), int(interval(1,8)"
        "), choice(a,b), range(1,9), or a list of choices. Did you mean"
    )
    assert [str(one) for one in error.value.diagnostics] == [
        "sweep.space.optimizer.lr: is a mapping (mine/experiment/own.yaml:5:5). "
        f"{expected} tag(log,interval(0.0001,0.1))?",
        "sweep.space.seed: is a mapping (mine/experiment/own.yaml:6:5). "
        f"{expected} [1]?",
    ]
