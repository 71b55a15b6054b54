"""Entry points of specflow itself: the names of `specflow.tf` in configs."""

import tomllib
from importlib.metadata import distribution
from typing import get_args

import pytest

from specflow.cli.main import main
from specflow.compose import compose
from specflow.config.plugins.components import plugins_of
from specflow.config.sections.data import DataConfig
from specflow.config.sections.metrics import MetricConfig
from specflow.config.sections.optimizer import OptimizerConfig
from specflow.config.sections.output import ReporterConfig
from specflow.diagnostics.errors import ConfigError
from specflow.runtime.distribution import NAME
from tests.plugins.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED = {
    group: names
    for group, names in PROJECT["entry-points"].items()
    if group != "specflow.converters"
}
STALE = (
    "optimizer.name: got 'tf_adam', which pyproject.toml declares in "
    f"specflow.optimizers and the installed metadata of {NAME} do not: they are older "
    "than the code (conf/optimizer/tf_adam.yaml:3:1). Run pip install -e . again in "
    f"{ROOT}."
)


@pytest.fixture
def older_metadata(tmp_path, installing):
    """Metadata of specflow from before it declared entry points of its own."""
    about = tmp_path / "older" / "specflow_jax-0.0.9.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Name: {NAME}\nVersion: 0.0.9\n")
    installing(about.parent)


def test_configs_know_every_declared_name_by_a_section_of_that_name():
    sections = {
        "specflow.data": get_args(DataConfig)[1].members,
        "specflow.metrics": get_args(MetricConfig)[1].members,
        "specflow.optimizers": get_args(OptimizerConfig)[1].members,
        "specflow.reporters": get_args(ReporterConfig)[1].members,
    }
    for group, names in DECLARED.items():
        for name in names:
            section = sections[group][name]
            assert section.model_fields["name"].default == name
            home = {
                "specflow.data": "specflow_records._core.",
                "specflow.reporters": f"specflow_{name}.",
            }.get(group, "specflow.tf.sections.")
            assert f"{section.__module__}.".startswith(home)


def test_the_installed_metadata_is_that_of_the_code():
    installed = {(e.group, e.name, e.value) for e in distribution(NAME).entry_points}
    for group, names in DECLARED.items():
        assert {(group, *item) for item in names.items()} <= installed, (
            "run pip install -e . again"
        )


def test_a_manifest_names_specflow_once_and_not_as_a_plugin():
    assert plugins_of(compose(["optimizer=tf_adam"]).config) == {}


def test_older_metadata_is_reported_as_that_and_not_as_an_unknown_name(older_metadata):
    with pytest.raises(ConfigError) as error:
        compose(["optimizer=tf_adam"])
    assert [str(diagnostic) for diagnostic in error.value.diagnostics] == [STALE]


def test_older_metadata_changes_nothing_where_no_such_name_is_used(
    older_metadata, capsys
):
    assert main(["explain", "optimizer.name"]) == 0
    assert "tf_adam" not in capsys.readouterr().out
    assert compose(["experiment=digits"]).config.optimizer.name == "adamw"


def test_an_outside_package_cannot_take_a_name_of_specflow(package):
    package("thief", "def adam(): ...", optimizers="tf_adam = thief:adam")
    assert type(compose(["optimizer=tf_adam"]).config.optimizer).__name__ == (
        "TfAdamConfig"
    )
