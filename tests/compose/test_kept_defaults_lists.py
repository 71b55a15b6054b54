"""Defaults lists that are made once, for all trials of a sweep."""

import pytest

from specflow.compose import compose
from specflow.compose.read.defaults_list import kept_defaults_lists
from specflow.diagnostics.errors import ConfigError


@pytest.mark.parametrize(
    "experiment", ["digits", "digits_mlp", "breast_cancer", "wine"]
)
def test_kept_defaults_lists_change_nothing(experiment):
    """Composed several times inside the block, and once outside."""
    lines = [
        [f"experiment={experiment}", f"seed={seed}", *more]
        for seed in (1, 2)
        for more in ((), ("optimizer=sgd",), ("mesh=fsdp",), ("loop.train_steps=9",))
    ]
    apart = [compose(words) for words in lines]
    with kept_defaults_lists():
        together = [compose(words) for words in lines]
    for one, other in zip(apart, together, strict=True):
        assert one.yaml() == other.yaml()
        assert one.origins == other.origins
        assert one.choices == other.choices
        assert one.choice_origins == other.choice_origins


def test_a_mistake_is_reported_inside_the_block_each_time():
    with kept_defaults_lists():
        for _ in range(2):
            with pytest.raises(ConfigError, match="no choice named 'nope'"):
                compose(["model=nope"])
        compose(["model=mlp"])


def test_each_set_of_config_folders_has_its_own_lists(tmp_path):
    for name, width in (("a", 3), ("b", 5)):
        file = tmp_path / name / "experiment" / "own.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(
            "# @package _global_\ndefaults:\n  - /experiment/digits_mlp\n  - _self_\n"
            f"model:\n  hidden: [{width}]\n"
        )
    with kept_defaults_lists():
        widths = [
            compose(
                ["experiment=own"], config_dirs=[tmp_path / name]
            ).config.model.hidden
            for name in ("a", "b", "a")
        ]
    assert [list(width) for width in widths] == [[3], [5], [3]]
