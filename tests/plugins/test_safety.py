"""Safety: a name in a config reaches declared components only."""

import sys

import pytest

from specflow.compose import compose
from specflow.diagnostics.errors import ConfigError

NAMES = (
    "os.system",
    "specflow_sample.nets:TinyResnet",
    "specflow_sample.nets.TinyResnet",
    "specflow_sample.config:TinyResnetConfig",
    "specflow-sample",
    "sample",
    "stripes",
    "__class__",
    "",
)
"""Names of no model; some are importable in Python."""
CONFIGS = ("specflow_sample.config", "specflow_sample.lifecycle")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_looked_up_and_never_resolved_as_a_path(name, sample):
    before = set(sys.modules)
    with pytest.raises(ConfigError) as caught:
        compose([f"model={{name: '{name}'}}"])
    assert {diagnostic.where for diagnostic in caught.value.diagnostics} >= {
        "model.name"
    }
    new = {module for module in set(sys.modules) - before if "sample" in module}
    # Configs are read to check the fields of the name that was meant, and nothing else.
    assert not new - {"specflow_sample", *CONFIGS}


def test_a_run_directory_reaches_registered_names_only(sample, tmp_path):
    """The manifest of a run is data too, and declares no component."""
    composed = compose(["experiment=digits"])
    (tmp_path / "config.yaml").write_text(
        composed.yaml().replace("name: cnn", "name: specflow_sample.nets:TinyResnet")
    )
    (tmp_path / "manifest.json").write_text(
        '{"plugins": {"model": "os"}, "packages": {"os": "system"}}'
    )
    with pytest.raises(ConfigError) as caught:
        compose([f"run={tmp_path}"])
    assert "specflow_sample.nets" not in sys.modules
    assert "plugin-missing" in {
        diagnostic.code for diagnostic in caught.value.diagnostics
    }


def test_an_installed_plugin_is_no_trusted_target(sample):
    with pytest.raises(ConfigError) as caught:
        compose(["model._target_=specflow_sample.nets.TinyResnet"])
    assert caught.value.diagnostics[0].code == "target-untrusted"
    assert "specflow_sample.nets" not in sys.modules


def test_a_plugin_cannot_be_named_like_the_target_key(package):
    package("taker", "raise RuntimeError('imported')", models="_target_ = taker:Net")
    with pytest.raises(ConfigError) as caught:
        compose(["model._target_=os.system"])
    assert caught.value.diagnostics[0].code == "target-untrusted"
