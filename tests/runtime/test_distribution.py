"""The distribution's name, and the stranger's that owns the same folder and command.

The stranger is recognized by its metadata as PyPI had it in 2026: specflow 1.0.0.
"""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from specflow.runtime import distribution

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STRANGER = """Metadata-Version: 2.4
Name: specflow
Version: 1.0.0
Summary: A Python library for JSON Schema validation with a fluent, type-safe API
"""
FORMER = f"""Metadata-Version: 2.4
Name: specflow
Version: 0.0.7
Summary: {PROJECT["description"]}
"""
INIT = '__all__ = ["AnyOf", "Field"]\n'


def test_the_name_is_free_and_the_package_keeps_its_own():
    assert PROJECT["name"] == distribution.NAME == "specflow-jax"
    assert PROJECT["scripts"]["specflow"] == "specflow.__main__:main"
    assert set(PROJECT["optional-dependencies"]["tpu"]) == {"jax[tpu]", "libtpu"}
    assert distribution.version() == PROJECT["version"]
    assert distribution.version_of("specflow") == PROJECT["version"]
    assert distribution.version_of("no-such-distribution") is None


def test_several_processes_compare_the_version_by_the_name_it_is_installed_by(
    monkeypatch,
):
    from specflow.output.run.package_versions import PROGRAM_PACKAGES, package_versions

    real = importlib.metadata.version

    def installed(name):
        if name == "specflow":  # As where nothing older was ever installed.
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", installed)
    versions = package_versions(PROGRAM_PACKAGES)
    assert versions["specflow"] == PROJECT["version"]


def texts():
    """Every text that may tell a user what to install, but for the history."""
    places = ["README.md", "docs/**/*.md", "specflow/**/*.py", "notebooks/*.ipynb"]
    places += ["tests/plugin_sample/**/*.toml", ".ci/run", "conf/**/*.yaml"]
    return [file for place in places for file in ROOT.glob(place)]


def test_no_command_and_no_dependency_installs_the_stranger():
    """By its name alone, or by an extra that it would have."""
    command = re.compile(
        r"(?:pip|uv|pipx)\S*\s+install\b[^`\n&|;]*?['\" ]specflow(?![\w-])"
    )
    extra = re.compile(r"(?<![\w-])specflow\[[a-z]")
    depends = re.compile(r"^dependencies = .*['\"]specflow(?![\w-])", re.M)
    known = (
        "pip install specflow",
        "pip install 'specflow[cuda12]'",
        "uv pip install -U specflow",
    )
    assert all(command.search(text) for text in known)
    assert depends.search('dependencies = ["specflow"]')
    for file in texts():
        text = file.read_text(encoding="utf-8")
        for form in (command, extra, depends):
            assert not form.search(text), f"{file}: {form.search(text)}"


def site(folder, metadata, name="specflow-1.0.0.dist-info"):
    """A folder where pip installs, with one distribution in it."""
    place = folder / "site-packages"
    (place / name).mkdir(parents=True)
    (place / name / "METADATA").write_text(metadata)
    return place


def python(*words, first):
    paths = os.pathsep.join(map(str, first))
    return subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONPATH": paths},
        cwd=first[0],
        capture_output=True,
        text=True,
    )


def test_the_version_and_the_first_import_notice_the_stranger(tmp_path):
    paths = [ROOT, site(tmp_path, STRANGER)]
    message = (
        "specflow: the distribution specflow 1.0.0, another project, is installed in "
        f"{paths[1]}: it and specflow-jax overwrite each other's files and command. "
        "Run pip uninstall specflow, and install this one again: pip install "
        "--force-reinstall --no-deps specflow-jax, or -e . in its clone."
    )
    done = python("-m", "specflow", "--version", first=paths)
    assert (done.returncode, done.stdout) == (0, f"specflow {PROJECT['version']}\n")
    assert done.stderr.count(message) == 1
    done = python(
        "-c", "import specflow, specflow.cli.main; import specflow", first=paths
    )
    assert (done.returncode, done.stderr.count(message)) == (0, 1)


def test_the_version_notices_a_stranger_that_has_overwritten_the_package(tmp_path):
    """Its `__init__` and `typing` are among our modules, as pip leaves them."""
    place = site(tmp_path, STRANGER)
    (place / "specflow").mkdir()
    for file in (ROOT / "specflow").iterdir():
        (place / "specflow" / file.name).symlink_to(file)
    for name in ("__init__.py", "typing.py"):
        (place / "specflow" / name).unlink(missing_ok=True)
        (place / "specflow" / name).write_text(INIT)
    done = python("-m", "specflow", "--version", first=[place])
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("warning[installation] specflow: the distribution ")


@pytest.mark.parametrize(
    "metadata", [FORMER, None], ids=["by its former name", "by none"]
)
def test_our_own_is_no_stranger(metadata, tmp_path):
    """An editable install from before the name changed goes on working."""
    place = tmp_path / "site-packages"
    place.mkdir()
    if metadata:
        site(tmp_path / "inner", metadata, "specflow-0.0.7.dist-info")
        place = tmp_path / "inner" / "site-packages"
    code = (
        "import sys, json, warnings; warnings.simplefilter('error')\n"
        "import specflow; from specflow.runtime import distribution as d\n"
        "d.NAME = 'no-such-distribution'\n"
        "print(json.dumps([d.version(), str(d.stranger())]))"
    )
    done = python("-S", "-c", code, first=[ROOT, place])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["0.0.7" if metadata else None, "None"]


def test_importing_looks_at_names_only():
    code = "import sys, specflow; print('importlib.metadata' in sys.modules, "
    code += "'dataclasses' in sys.modules)"
    done = python("-c", code, first=[ROOT])
    assert done.stdout.split() == ["False", "False"]
