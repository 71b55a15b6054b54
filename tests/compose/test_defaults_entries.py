"""Defaults lists whose entries are no entries: place, problem and repair."""

import re

import pytest

from specflow.compose import compose
from specflow.diagnostics.errors import ConfigError

AT = "mine/experiment/own.yaml"
FORMS = "an entry such as /experiment/digits, override /model: mlp or _self_"


@pytest.fixture
def reported(project):
    """Report of an experiment with these lines behind its header."""

    def attempt(lines, **others):
        texts = {"own": lines, **others}
        project(
            {
                f"mine/experiment/{name}.yaml": f"# @package _global_\n{text}\n"
                for name, text in texts.items()
            }
        )
        try:
            compose(["experiment=own"], config_dirs=["mine"])
        except ConfigError as error:
            text = "\n".join(f"[{one.code}] {one}" for one in error.diagnostics)
            return re.sub(r" (Fields of|Choices:|Groups:) [^.\n]*\.", "", text)
        return ""

    return attempt


def listed(*entries):
    return "\n".join(["defaults:", *(f"  - {entry}" for entry in entries)])


@pytest.mark.parametrize("value", ["mlp", "5", "null", "{model: mlp}"])
def test_a_defaults_list_that_is_no_list_has_its_place(value, reported):
    assert reported(f"defaults: {value}") == (
        f"[defaults] defaults: got {value} ({AT}:2:1). "
        f"Expected a list, each item {FORMS}."
    )


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("_self_", "names _self_ again ({at}). Expected it once. Remove this entry."),
        ("5", f"got 5 ({{at}}). Expected {FORMS}."),
        ("null", f"got null ({{at}}). Expected {FORMS}."),
        ("[a, b]", f"got [a, b] ({{at}}). Expected {FORMS}."),
        ("{}", f"got {{{{}}}} ({{at}}). Expected {FORMS}."),
        ("{_self_: true}", "got {{_self_: true}} ({at}). Did you mean _self_?"),
        ("{1: b}", f"got {{{{1: b}}}} ({{at}}). Expected {FORMS}."),
        (
            "{override /mesh: fsdp, c: d}",
            f"got {{{{override /mesh: fsdp, c: d}}}} ({AT}:5:28). "
            "Expected one key an item. Write - c: d.",
        ),
        (
            "override /model: 5",
            "override /model got 5 ({at}). Expected the name of a choice.",
        ),
        (
            "override /model: {name: mlp}",
            "override /model got {{name: mlp}} ({at}). Expected the name of a choice. "
            "Did you mean override /model: mlp?",
        ),
        (
            "override /model",
            "override /model names no choice ({at}). "
            "Write override /model: and the name of the choice.",
        ),
        (
            "${nope}",
            "got ${{nope}} ({at}). Expected an interpolation of a group that is chosen "
            "earlier. Only choices can be interpolated in a defaults list, such as "
            "${{model}}.",
        ),
    ],
)
def test_an_entry_that_is_none_is_reported_with_its_place(entry, expected, reported):
    at = f"{AT}:5:5"
    text = reported(listed("/experiment/wine", "_self_", entry))
    assert text == f"[defaults] defaults: {expected.format(at=at)}"


@pytest.mark.parametrize(
    ("entry", "where", "meant"),
    [
        ("override model: mlp", "model", "override /model: mlp"),
        ("override /modle: mlp", "modle", "override /model: mlp"),
        ("override /Model: mlp", "Model", "override /model: mlp"),
        ("overide /model: mlp", "defaults", "override /model: mlp"),
        ("override /model=mlp", "defaults", "override /model: mlp"),
        ("/modle: mlp", "modle", "override /model: mlp"),
        ("model=mlp", "defaults", "override /model: mlp"),
        ("/experiment/wine.yaml", "defaults", "/experiment/wine"),
        ("wine.yml", "defaults", "wine"),
        ("experiment/wine", "defaults", "/experiment/wine"),
    ],
)
def test_an_entry_that_means_another_is_read_as_that_one(entry, where, meant, reported):
    """The value of the file is valid for what was meant alone."""
    values = "model: {activation: gelu}"
    text = reported(f"{listed(entry, '_self_')}\n{values}")
    suggestion = re.fullmatch(
        rf"\[defaults\] {where}: .* \({AT}:3:5\)\. Did you mean (.*)\?", text
    )
    assert suggestion, text
    assert meant.startswith(suggestion[1])
    assert reported(f"{listed(meant, '_self_')}\n{values}") == ""


@pytest.mark.parametrize("key", ["default", "Defaults", "defualts"])
def test_a_misspelled_defaults_list_is_read_as_one(key, reported):
    text = listed("/experiment/wine", "_self_").replace("defaults", key)
    assert reported(f"{text}\nmodel: {{activation: gelu}}") == (
        f"[defaults] {key}: no such field ({AT}:2:1). Did you mean defaults?"
    )


def test_overrides_come_last(reported):
    assert reported(listed("override /model: mlp", "/experiment/wine")) == (
        f"[defaults] defaults: comes after override /model: mlp ({AT}:4:5). "
        "Expected overrides to come last. Move this entry up."
    )
    assert reported(listed("/experiment/wine", "override /model: mlp")) == ""


def test_a_second_choice_in_a_group_names_both_places(reported):
    assert reported(listed("/model: cnn", "_self_")) == (
        f"[defaults] model: is already chosen at conf/config.yaml:4:5 ({AT}:3:5). "
        "Write override /model: cnn."
    )


def test_the_file_that_was_chosen_is_named_if_another_has_the_same_entry(reported):
    wrong = listed("override /nope: mlp", "_self_")
    assert reported(wrong, aardvark=wrong) == (
        "[defaults] nope: is in no defaults list, so there is no choice to change "
        f"({AT}:3:5)."
    )


@pytest.mark.parametrize("header", ["# @package", "# @package _global_ x"])
def test_a_header_that_is_none_is_shown(header, project):
    project({AT: f"{header}\nseed: 3\n"})
    with pytest.raises(ConfigError) as raised:
        compose(["experiment=own"], config_dirs=["mine"])
    assert str(raised.value) == (
        f"{AT}: has no package header, so it is merged into experiment, which is not a "
        f'section ({AT}:1:1). Expected its first line to be "# @package _global_". '
        f"Line 1 is {header!r}."
    )
