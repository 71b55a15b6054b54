"""Where configs are found: a wheel, a checkout, and folders of the user's own."""

import shutil
import subprocess
import sys

import pytest

from specflow.compose import compose
from specflow.compose.read.config_folders import folders, shipped
from specflow.diagnostics.errors import ConfigError


def test_a_checkout_has_conf_beside_the_package():
    assert (shipped().parent / "specflow" / "compose").is_dir()


def test_a_wheel_has_conf_inside_the_package(tmp_path):
    package = tmp_path / "site-packages" / "specflow"
    shutil.copytree(shipped(), package / "conf")
    assert shipped(package) == package / "conf"


def test_a_copy_with_the_layout_of_the_wheel_composes(tmp_path):
    source = shipped().parent / "specflow"
    package = tmp_path / "specflow"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(shipped(), package / "conf")
    script = (
        "import specflow; from specflow.compose import compose;"
        "print(specflow.__file__, compose().origins['model.widths'])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed == f"{package / '__init__.py'} conf/model/cnn.yaml:4\n"


def test_an_installation_without_conf_says_so(tmp_path):
    with pytest.raises(ConfigError, match="installation is incomplete"):
        shipped(tmp_path / "a" / "b")


def test_the_users_folder_is_searched_before_the_shipped_one(project):
    project(
        {
            "mine/optimizer/adamw.yaml": "name: adamw\nlr: 0.5\n",
            "mine/model/wide.yaml": "name: cnn\nwidths: [256]\n",
        }
    )
    composed = compose(["experiment=digits_mlp"], config_dirs=["mine"])
    assert composed.origins["optimizer.weight_decay"] == "default"
    composed = compose(["model=wide"], config_dirs=["mine"])
    assert composed.config.model.widths == [256]
    assert composed.origins["optimizer.lr"] == "mine/optimizer/adamw.yaml:2"
    assert composed.origins["data.name"] == "conf/data/digits.yaml:3"


def test_the_first_of_two_folders_is_searched_first(project):
    project({"a/mesh/x.yaml": "axes: {data: 2}", "b/mesh/x.yaml": "axes: {data: 4}"})
    assert compose(["mesh=x"], config_dirs=["a", "b"]).config.mesh.axes.data == 2
    assert compose(["mesh=x"], config_dirs=["b", "a"]).config.mesh.axes.data == 4


def test_a_group_of_the_user_is_added_with_a_plus(project):
    project({"mine/night/long.yaml": "# @package loop\ntrain_steps: 77\n"})
    composed = compose(["+night=long"], config_dirs=["mine"])
    assert composed.config.loop.train_steps == 77
    assert composed.choices["+night"] == "long"


def test_a_folder_is_not_a_choice():
    assert "parts" not in folders().choices("spec")


@pytest.mark.parametrize("choice", ["own", "own.yml"])
def test_a_file_of_another_suffix_is_named(choice, project):
    project({"mine/model/own.yml": "name: mlp\n"})
    with pytest.raises(ConfigError) as raised:
        compose(["experiment=wine", f"model={choice}"], config_dirs=["mine"])
    assert str(raised.value).startswith(
        f"model: no choice named '{choice}' (override model={choice}). Rename "
        "mine/model/own.yml: configs end in .yaml. Choices: cnn, decoder"
    )


@pytest.mark.parametrize("choice", ["own.yaml", "mine/model/own.yaml"])
def test_the_path_of_a_file_suggests_its_choice(choice, project):
    project({"mine/model/own.yaml": "name: mlp\n"})
    with pytest.raises(ConfigError, match=r"Did you mean model=own\?"):
        compose(["experiment=wine", f"model={choice}"], config_dirs=["mine"])
    assert compose(["experiment=wine", "model=own"], config_dirs=["mine"])
