"""Which files make up an experiment, and in which order: by Hydra's own account."""

import sys
import warnings

import pytest
from hydra import __version__
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode

from specflow.compose import compose
from specflow.compose.read.config_folders import folders, shipped
from specflow.compose.read.defaults_list import (
    ROOT,
    composition_diagnostic,
    defaults_list,
)
from specflow.compose.read.hydra_repository import BASE, DefaultsLists
from specflow.compose.read.hydra_search_path import hydra

MINE = {
    "data/mine.yaml": "name: digits\n",
    "mesh/data.yaml": "axes: {data: 1}\n",
    "experiment/renamed.yaml": """# @package _global_
defaults:
  - optional /loop@extra: none_of_that_name
  - /model@spec.more: cnn
  - /spec/parts/classes@spec
  - _self_
  - override /data: mine
  - override /hydra/launcher: basic
""",
}
LINES = [
    [],
    ["experiment=renamed"],
    ["experiment=digits", "model=mlp", "mesh=fsdp"],
    ["~data", "+model@spec.other=cnn"],
    *([f"experiment={name}"] for name in folders().choices("experiment")),
]


@pytest.fixture
def own(tmp_path):
    for name, text in MINE.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return folders([tmp_path])


@pytest.mark.parametrize("lines", LINES, ids=" ".join)
def test_files_and_choices_equal_those_of_hydras_public_api(own, lines):
    # Expected: Hydra itself, started with all of its plugins and its own config.
    with hydra(own) as state:
        loader = state.config_loader()
        whole = loader.compute_defaults_list(ROOT, lines, RunMode.RUN)
    files = [
        (own.file(one.config_path), one.package or "")
        for one in whole.defaults
        if not one.config_path.startswith("hydra/")
    ]
    choices = {
        group: choice
        for group, choice in whole.overrides.known_choices.items()
        if choice and not group.startswith("hydra/")
    }
    merge = defaults_list(OverridesParser.create().parse_overrides(lines), own)
    assert list(merge.files) == files
    assert merge.choices == choices


def test_the_users_folder_wins_over_the_shipped_one(own):
    files = dict((package, file) for file, package in defaults_list([], own).files)
    assert files["mesh"] == own.paths[0] / "mesh/data.yaml"
    assert files["model"] == shipped() / "model/cnn.yaml"


def test_hydras_own_interpolations_are_known_without_hydra():
    line = "name=on${python_version:major}"
    assert compose([line]).config.name == f"on{sys.version_info.major}"


def test_hydra_warns_about_no_argument(monkeypatch):
    """From 1.4 on `version_base` is deprecated; before, its absence is."""
    monkeypatch.setenv("HYDRA_DEPRECATION_WARNINGS_AS_ERRORS", "1")
    with hydra(folders()) as state, warnings.catch_warnings():
        warnings.simplefilter("error")
        DefaultsLists(folders())
        assert state.hydra is not None
    expected = {"version_base": "1.3"} if __version__.startswith("1.3.") else {}
    assert expected == BASE


@pytest.mark.parametrize(
    "text",
    [
        "In 'experiment/mine': Could not override 'modle'. No match in the defaults "
        "list.",
        "In 'experiment/mine': Invalid Defaults List override '/modle: cnn'.\nNo "
        "earlier Group Default for 'modle' exists to override.",
    ],
    ids=["hydra 1.3.8", "hydra 1.4.0rc3"],
)
def test_an_override_of_no_group_is_reported_alike_for_both_hydra_versions(text):
    diagnostic = composition_diagnostic(ConfigCompositionException(text), folders())
    assert (diagnostic.where, diagnostic.code) == ("modle", "defaults")
    assert diagnostic.hint == "Did you mean model?"
