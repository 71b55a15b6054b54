"""Files that are merged once, for all trials of a sweep."""

import pytest

from specflow.compose import compose
from specflow.compose.merged_files import kept_files
from specflow.diagnostics.errors import ConfigError

_VALUES = (
    ("loop.train_steps=9",),
    ("~optimizer.lr", "~loop.eval_batch_size"),
    ("mesh.rules=[{path: '**', dims: [null]}]", "mesh.rules.0.path='*.bias'"),
    ("optimizer.schedule.name=constant",),
)
"""Overrides that change, delete or replace what files set."""


@pytest.mark.parametrize(
    "experiment", ["digits", "digits_mlp", "breast_cancer", "wine"]
)
def test_files_merged_once_change_nothing(experiment):
    """Composed again and again inside the block, and outside it."""
    lines = [
        [f"experiment={experiment}", f"seed={seed}", *more]
        for seed in (1, 2)
        for more in ((), ("optimizer=sgd",), ("mesh=fsdp",), *_VALUES)
    ]
    apart = [compose(words) for words in lines]
    with kept_files():
        together = [compose(words) for words in (*lines, *lines)]
    for one, other in zip((*apart, *apart), together, strict=True):
        assert one.yaml() == other.yaml()
        assert one.origins == other.origins
        assert one.choices == other.choices
        assert one.choice_origins == other.choice_origins


def test_a_mistake_is_reported_inside_the_block_each_time():
    with kept_files():
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
    with kept_files():
        widths = [
            compose(
                ["experiment=own"], config_dirs=[tmp_path / name]
            ).config.model.hidden
            for name in ("a", "b", "a")
        ]
    assert [list(width) for width in widths] == [[3], [5], [3]]
