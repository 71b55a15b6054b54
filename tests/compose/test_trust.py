"""`trust=`: what it names must exist, or it has no effect."""

import pytest

from specflow.compose import compose
from specflow.diagnostics.errors import ConfigError
from specflow.runtime import project_file


def message(*words):
    with pytest.raises(ConfigError) as refused:
        compose(["experiment=wine", *words])
    return "\n".join(
        f"[{diagnostic.code}] {diagnostic}" for diagnostic in refused.value.diagnostics
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "trust=my_nest",
            "there is no package 'my_nest' (override trust=my_nest). Expected a "
            "package that is installed, or in {folder}. Did you mean trust=my_nets?",
        ),
        (
            "trust=[my_nets,somewhere_else]",
            "there is no package 'somewhere_else' (override "
            "trust=[my_nets,somewhere_else]). Expected a package that is installed, or "
            "in {folder}.",
        ),
        (
            "trust=./mien",
            "there is no folder './mien' (override trust=./mien). Expected a folder of "
            "configs. Did you mean trust=./mine?",
        ),
        (
            "trust=os.path",
            "got 'os.path' (override trust=os.path). Expected the name of a package of "
            "your own, not of the standard library.",
        ),
    ],
)
def test_what_does_not_exist_cannot_be_trusted(project, line, expected):
    folder = project({"my_nets.py": "raise SystemExit\n", "mine/model/own.yaml": ""})
    assert message(line) == f"[target-untrusted] trust: {expected}".format(
        folder=folder
    )


def test_a_package_of_the_project_file_may_be_missing(project, monkeypatch):
    """The project is read where its package is not installed, too."""
    folder = project({"specflow.toml": 'trust = ["my_nest"]\n'})
    monkeypatch.setattr(project_file, "_active", project_file.find(folder))
    assert compose(["experiment=wine", "trust=[my_nest]"]).trust == ("my_nest",)
