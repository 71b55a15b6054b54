"""`specflow new`: the project that it writes runs; names that none can have."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from specflow.cli.main import main

ROOT = Path(__file__).parents[2]
EXPECTED = "Expected letters, digits, - and _, first a letter; at most 40 characters."
TAKEN = {
    "class": "a keyword of Python",
    "json": "a module of Python's standard library",
    "on": "a value in YAML",
    "conf": "another folder of the project",
    "NumPy": "an installed package",
    "specflow": "an installed package",
}
UNUSABLE = {
    "2048-game": "{e} Try game.",
    "my project": "{e} Try my_project.",
    "größe": "{e} Try gr_e.",
    "-": "{e}",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project that nothing has been changed in."""
    folder = tmp_path_factory.mktemp("home") / "Wine-Tasting"
    assert main(["new", str(folder)]) == 0
    return folder


def run(*command, cwd):
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
    }
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_the_project_passes_its_own_tests(project):
    """One of them trains, and fails where the model has not learned."""
    done = run("pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_project_trains_from_its_folder(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(sys, "path", [*sys.path])
    words = ["experiment=wine_tasting", "loop.train_steps=20", "model.width=8"]
    assert main(["train", *words, "output.dir=runs/one"]) == 0
    result = json.loads(Path("runs/one/result.json").read_text())
    assert result["step"] == 20
    assert 0 < result["eval"]["accuracy"] <= 1


def test_nothing_of_the_default_experiment_is_left(project, monkeypatch, capsys):
    """Its sections replace whole ones, so that none is reported as dropped."""
    monkeypatch.chdir(project)
    capsys.readouterr()
    assert main(["show", "experiment=wine_tasting"]) == 0
    printed = capsys.readouterr()
    assert "dropped" not in printed.out + printed.err


def test_the_project_is_clean(project):
    assert run("ruff", "check", ".", cwd=project).stdout == "All checks passed!\n"
    formatted = run("ruff", "format", "--check", ".", cwd=project)
    assert formatted.returncode == 0, formatted.stdout


def test_the_longest_name_fits_the_lines(tmp_path):
    folder = tmp_path / ("a" * 40)
    assert main(["new", str(folder)]) == 0
    assert run("ruff", "check", ".", cwd=folder).stdout == "All checks passed!\n"
    formatted = run("ruff", "format", "--check", ".", cwd=folder)
    assert formatted.returncode == 0, formatted.stdout


def test_the_report_names_the_files_and_what_to_try(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "wine"]) == 0
    assert capsys.readouterr().out == (
        "wine:\n"
        "  .gitignore\n"
        "  README.md\n"
        "  conf/experiment/wine.yaml\n"
        "  pyproject.toml\n"
        "  tests/test_wine.py\n"
        "  wine/__init__.py\n"
        "  wine/data.py\n"
        "  wine/model.py\n"
        "try:\n"
        "  cd wine\n"
        "  specflow train experiment=wine\n"
        "  pip install pytest\n"
        "  python -m pytest\n"
    )
    assert main(["new", "port", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["status"], document["path"]) == (0, "port")
    for file in document["files"]:
        assert "$" not in Path("port", file).read_text()


def test_an_empty_folder_may_exist_and_be_the_working_directory(
    tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "wine"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert main(["new", "."]) == 0
    assert "  cd " not in capsys.readouterr().out
    assert yaml.safe_load((folder / "conf/experiment/wine.yaml").read_text())["name"]


@pytest.mark.parametrize("name", TAKEN)
def test_a_name_that_is_taken_is_refused(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", name]) == 2
    assert capsys.readouterr().err == (
        f"error[project-name] NAME: '{name}' is the name of {TAKEN[name]} "
        f"(command line). {EXPECTED} Try my_{name.lower()}.\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_name_of_no_package_is_refused(name, tmp_path, capsys):
    assert main(["new", "--", str(tmp_path / name)]) == 2
    text = UNUSABLE[name].format(e=EXPECTED)
    assert capsys.readouterr().err == (
        f"error[project-name] NAME: '{name}' is no name of a Python package "
        f"(command line). {text}\n"
    )


def test_a_name_and_a_folder_are_refused_in_one_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "json"
    folder.mkdir()
    for name in "dacb":
        (folder / name).write_text("mine")
    assert main(["new", "json"]) == 2
    assert capsys.readouterr().err == (
        "error[project-name] NAME: 'json' is the name of a module of Python's standard "
        f"library (command line). {EXPECTED} Try my_json.\n"
        "error[project-folder] NAME: 'json' is not empty (a, b, c, ...) (command line)."
        " Expected a new or an empty directory. Nothing was written.\n"
    )
    assert sorted(os.listdir(folder)) == ["a", "b", "c", "d"]


def test_a_file_is_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("wine").write_text("red")
    assert main(["new", "wine/red"]) == 2
    assert capsys.readouterr().err.startswith(
        "error[project-folder] NAME: 'wine/red' is inside '"
    )
    assert main(["new", "wine"]) == 2
    assert capsys.readouterr().err.startswith(
        "error[project-folder] NAME: 'wine' is a file. Expected a directory."
    )
    assert Path("wine").read_text() == "red"
