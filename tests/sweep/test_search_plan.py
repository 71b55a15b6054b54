"""Spaces of searches: what is refused before the first trial, and from where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
