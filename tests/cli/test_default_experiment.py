"""`specflow train` without an experiment names the default one."""

import pytest

from specflow.commands.train import _default_experiment
from specflow.compose import compose


@pytest.mark.parametrize("overrides", [[], ["seed=1"]])
def test_the_default_experiment_is_named(overrides):
    assert _default_experiment(compose(overrides)) == (
        "note: no experiment=NAME was given: training the default (data=digits "
        "model=cnn)"
    )


def test_the_line_names_a_chosen_model():
    assert "model=mlp)" in _default_experiment(compose(["model=mlp"]))


@pytest.mark.parametrize(
    "override", ["experiment=digits", "data=digits", "data.shuffle=false"]
)
def test_a_chosen_experiment_or_data_is_not_announced(override):
    assert _default_experiment(compose([override])) == ""
