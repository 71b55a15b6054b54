"""No text of a config or an override ends in a traceback."""

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specflow.compose import compose
from specflow.diagnostics.errors import ConfigError

AT = "mine/experiment/own.yaml"
WINE = "# @package _global_\ndefaults:\n  - /experiment/wine\n  - _self_\n"
NO_TEXT = ["off", "on", "1", "1.5", "0x10", "~", "null", "2020-01-01", ".nan", "[a]"]
LONG = "a" * 5000


@pytest.fixture
def own(project):
    """Problems of an experiment of this text, and of further overrides."""

    def attempt(text, *lines):
        project({AT: text})
        try:
            compose(["experiment=own", *lines], config_dirs=["mine"])
        except ConfigError as error:
            return error.diagnostics
        return ()

    return attempt


@pytest.mark.parametrize("key", NO_TEXT)
@pytest.mark.parametrize(
    "place",
    [
        "{}: 3",
        "model: {{? {} : 3}}",
        "mesh: {{logical: {{? {} : fsdp}}}}",
        "optimizer: {{name: parts, parts: {{? {} : {{paths: ['**']}}}}}}",
        "spec: {{eval_metrics: {{? {} : {{name: accuracy}}}}}}\n"
        "output: {{checkpoint: {{best: {{metric: accuracy, order: highest}}}}}}",
    ],
)
def test_keys_that_are_no_text_are_reported_with_their_place(key, place, own):
    diagnostics = own(WINE + place.format(key) + "\n")
    assert any(one.origin.startswith(f"{AT}:") for one in diagnostics)


@pytest.mark.parametrize("name", ["[1]", "{a: b}", "1.5", "true", "2020-01-01"])
@pytest.mark.parametrize(
    "section", ["model", "optimizer", "spec", "data", "optimizer.schedule"]
)
def test_names_of_kinds_that_are_no_text_are_refused(section, name, own):
    *outer, inner = section.split(".")
    text = f"{inner}: {{name: {name}}}"
    text = f"{outer[0]}: {{{text}}}" if outer else text
    origins = {one.where: one.origin for one in own(f"{WINE}{text}\n")}
    assert origins[f"{section}.name"].startswith(f"{AT}:5:")
    with pytest.raises(ConfigError):
        compose(["experiment=wine", f"{section}={{name: {name}}}"])


@pytest.mark.parametrize("depth", [150, 2000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}")])
def test_values_nested_too_deeply_are_refused(opening, closing, depth, own):
    value = opening * depth + "1" + closing * depth
    (diagnostic,) = own(f"{WINE}model: {value}\n")
    # Far deeper, the parser of YAML stops before specflow counts.
    assert re.search("nested more than 100 levels deep|nesting depth", str(diagnostic))
    line = f"model={value.replace(': ', ':')}"
    with pytest.raises(ConfigError) as raised:
        compose(["experiment=wine", line])
    assert str(raised.value) == (
        f"model: is nested more than 100 levels deep (override {line[:57]}...)."
    )


def test_a_key_nested_too_deeply_is_refused():
    key = ".".join(["model"] * 1500)
    with pytest.raises(ConfigError) as raised:
        compose(["experiment=wine", f"{key}=1"])
    assert str(raised.value) == (
        f"{key[:57]}...: is nested more than 100 levels deep (override {key[:57]}...)."
    )


@pytest.mark.parametrize(
    "line",
    [
        *(f"{LONG}=1", f"optimizer={LONG}", f"experiment={LONG}", f"run={LONG}", LONG),
        *(f"loop.{LONG}=1", f"experiment={'a/' * 2000}b", "experiment=\0", "\0=1"),
    ],
)
def test_names_that_no_file_can_have_are_refused(line):
    with pytest.raises(ConfigError):
        compose(["experiment=wine", line])


@pytest.mark.parametrize(
    "entry",
    [LONG, f"override /model: {LONG}", "/a" * 2000, '"\\0"', '"": b', "/: b", "/"],
)
def test_entries_that_no_file_can_have_are_refused(entry, own):
    diagnostics = own(f"# @package _global_\ndefaults:\n  - {entry}\n")
    assert f"{AT}:3:5" in [one.origin for one in diagnostics]


@pytest.mark.parametrize("value", ["null", "3", "x"])
def test_hydras_section_must_be_a_mapping(value, own):
    (diagnostic,) = own(f"{WINE}hydra: {value}\n")
    assert str(diagnostic) == (
        f"hydra: got {value} ({AT}:5:1). Expected a mapping, key: value."
    )


def test_a_key_of_a_section_of_hydra_that_is_null_is_answered():
    line = "hydra.sweeper.params.seed=1"
    with pytest.raises(ConfigError) as raised:
        compose(["experiment=wine", line])
    assert str(raised.value) == (
        "hydra.sweeper.params.seed: hydra.sweeper.params is null, so it has no keys "
        f"(override {line}). Write hydra.sweeper.params={{seed: 1}}."
    )


@settings(max_examples=60)
@given(
    st.lists(
        st.text(st.sampled_from("aemo_.:=/@~+-'\"{}[]()$?*!&|><% ,#\n\t\\0é"))
        | st.sampled_from(
            ["model", "optimizer.lr", "hydra.run", "=", "[1]", "{a: b}", "${x}", "???"]
        ),
        max_size=5,
    ).map("".join)
)
def test_an_override_of_any_text_is_accepted_or_refused(line):
    with contextlib.suppress(ConfigError):
        assert compose(["experiment=wine", line]).config.name
