"""The plugins in specflow's wheel: their layout, their imports, editable installs."""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "plugins"
FILES = sorted(PLUGINS.rglob("*.py"))
PUBLIC = (
    "specflow",
    "specflow.diagnostics.errors",
    "specflow.serving",
    "specflow.serving.convert",
)
"""Modules of specflow that its plugins may import."""
OF_SWEEPS = ("specflow.sweep.hydra_launch", "specflow.sweep.hydra_search")
"""Modules to which the plugins of Hydra hand over what Hydra gives them."""


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Builds a wheel of a copy of the sources, by the name of hatchling's hook."""
    copy = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("specflow", "conf", "plugins"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy / name, ignore=ignore)
    (copy / "docs").mkdir()
    shutil.copy(ROOT / "docs/errors.md", copy / "docs")
    launcher = copy / "plugins/hydra_plugins/sample_launcher/__init__.py"
    launcher.parent.mkdir(parents=True, exist_ok=True)
    launcher.write_text("")

    def build(hook: str) -> zipfile.ZipFile:
        out = copy / hook
        out.mkdir()
        code = f"import hatchling.build as b; b.{hook}({str(out)!r})"
        subprocess.run(
            [sys.executable, "-c", code], cwd=copy, check=True, capture_output=True
        )
        return zipfile.ZipFile(next(out.iterdir()))

    return build


def test_the_wheel_has_every_plugin_at_its_top_level(build):
    names = build("build_wheel").namelist()
    packages = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert packages == {
        "specflow", "specflow_mlflow", "specflow_onnx", "specflow_records",
        "specflow_savedmodel", "specflow_trackio", "specflow_wandb", "hydra_plugins",
    }  # fmt: skip
    assert "hydra_plugins/sample_launcher/__init__.py" in names
    assert "hydra_plugins/specflow_launcher.py" in names
    assert "hydra_plugins/__init__.py" not in names, "it would hide others' plugins"
    pages = [name for name in names if name.endswith(".md")]
    assert pages == ["specflow/diagnostics/errors.md"]


def test_an_editable_install_finds_the_plugins(build):
    wheel = build("build_editable")
    (pth,) = (name for name in wheel.namelist() if name.endswith(".pth"))
    folders = [Path(line) for line in wheel.read(pth).decode().split()]
    assert [(folder / "specflow_onnx").is_dir() for folder in folders] == [False, True]
    assert (folders[0] / "specflow/__init__.py").is_file()


def test_hydra_plugins_is_a_namespace():
    assert not (PLUGINS / "hydra_plugins/__init__.py").exists()


def imported(file: Path, *, in_functions: bool) -> set[str]:
    """Modules that a file imports, those for type checkers left out."""
    tree = ast.parse(file.read_text())
    checking = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    nodes = ast.walk(tree) if in_functions else tree.body
    names: set[str] = set()
    for node in nodes:
        if id(node) in checking:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def package_of(file: Path) -> str:
    return file.relative_to(PLUGINS).parts[0]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_only_the_core_of_a_plugin_imports_more_than_the_standard_library(file):
    parts = file.relative_to(PLUGINS).with_suffix("").parts
    if "_core" in parts:
        return
    roots = {name.split(".")[0] for name in imported(file, in_functions=False)}
    allowed = {"hydra"} if package_of(file) == "hydra_plugins" else {package_of(file)}
    assert roots - set(sys.stdlib_module_names) - allowed == set()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_plugins_import_public_modules_of_specflow_only(file):
    names = imported(file, in_functions=True)
    allowed = OF_SWEEPS if package_of(file) == "hydra_plugins" else PUBLIC
    assert {n for n in names if n.split(".")[0] == "specflow"} <= set(allowed)
    others = {package_of(other) for other in FILES} - {package_of(file)}
    assert not {n.split(".")[0] for n in names} & others


def test_specflow_imports_no_plugin():
    packages = {package_of(file) for file in FILES}
    for file in sorted((ROOT / "specflow").rglob("*.py")):
        roots = {name.split(".")[0] for name in imported(file, in_functions=True)}
        assert not roots & packages, file


def test_the_installed_plugins_import_without_jax(tmp_path):
    packages = sorted({package_of(file) for file in FILES} - {"hydra_plugins"})
    code = f"import sys, {', '.join(packages)}; print('jax' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
