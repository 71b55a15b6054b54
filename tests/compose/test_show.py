"""Law 4, second half: what `show` prints can be pasted back."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from specflow.compose import compose, lines
from specflow.compose.read.config_folders import folders
from specflow.compose.read.override_grammar import format_value, quote_for_shell

EXPERIMENTS = folders().choices("experiment")


def words(*printed):
    """What a shell makes of printed lines, of which some are comments."""
    return [word for line in printed for word in shlex.split(line, comments=True)]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_all_lines_pasted_at_once_give_the_same_config(name):
    composed = compose([f"experiment={name}"])
    again = compose(words(*lines(composed)))
    assert again.tree == composed.tree
    assert again.config == composed.config


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_line_pasted_back_gives_the_same_config(name):
    base = [f"experiment={name}"]
    composed = compose(base)
    # Experiments have most keys in common: each looks at another fifth of them.
    for line in lines(composed)[EXPERIMENTS.index(name) % 5 :: 5]:
        assert compose([*base, *words(line)]).tree == composed.tree, line


def test_a_deletion_is_pasted_back_as_a_deletion():
    given = ["experiment=digits", "~spec.eval_metrics.top3", "mesh=fsdp", "name='1'"]
    composed = compose(given)
    printed = words(*lines(composed))
    assert "~spec.eval_metrics.top3" in printed
    assert compose(printed).tree == composed.tree
    assert compose([*given, *printed]).tree == composed.tree


def test_a_default_can_be_pasted_alone_where_no_file_mentions_its_section():
    """Without a `name` beside it, a schedule's setting had no schedule."""
    base = ["~optimizer.schedule", "~mesh.axes"]
    assert compose([*base, "optimizer.schedule.warmup_steps=null"]).tree == (
        compose(base).tree
    )
    assert compose([*base, "mesh.axes.fsdp=1"]).tree == compose(base).tree


def test_ordinary_lines_need_no_quotes():
    for line in lines(compose(["experiment=digits"])):
        if not any(char in line for char in "*{"):
            assert line[0] not in "'\"", line


def test_comments_name_the_origin_of_each_value():
    printed = [
        line.split("  # ")
        for line in lines(compose(["mesh=fsdp", "optimizer.lr=3e-4"]))
    ]
    notes = {line.rstrip(): note for line, note in printed}
    assert notes["mesh=fsdp"] == "override mesh=fsdp"
    assert notes["optimizer.lr=0.0003"] == "override optimizer.lr=3e-4"
    assert notes["model.widths=[32,64]"] == "conf/model/cnn.yaml:4"
    assert notes["loop.eval_steps=null"] == "default"


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | TEXT
    | st.sampled_from(
        ["", "null", "1e3", "True", "a b", "'", '"', "\\", "${x}", "\\${"]
    )
)
KEYS = st.text("abcXYZ_-$. :,()", min_size=1, max_size=5).filter(
    lambda key: key == key.strip() and key.lower() not in ("nan", "inf")
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=6,
)


@given(VALUES)
def test_a_spelled_value_is_parsed_to_the_same_value(value):
    """Through a shell, Hydra's parser and OmegaConf's interpolations."""
    (line,) = words(quote_for_shell(f"key={format_value(value)}") + "  # note")
    override = OverridesParser.create().parse_override(line)
    config = OmegaConf.create({"key": override.value()})
    assert OmegaConf.to_container(config, resolve=True) == {"key": value}
