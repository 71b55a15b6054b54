"""No run says what may run: neither by a project file, nor by where it was made."""

import json
import os
import sys

import pytest

from specflow.cli.main import main
from specflow.compose import compose
from specflow.runtime import project_file, run_projects

STRANGER = "raise RuntimeError('the code of a stranger ran')\n"
FILE = 'trust = ["stranger"]\n'


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run directory that came from elsewhere, with code and a project file."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "got" / "run"
    (folder / "inner").mkdir(parents=True)
    text = compose(["experiment=digits"]).yaml()
    evil = text.replace("name: cnn", "_target_: stranger.Net", 1)
    assert evil != text
    (folder / "config.yaml").write_text(evil)
    (folder / "manifest.json").write_text(json.dumps({"project": str(folder)}))
    for place in (folder, folder / "inner"):
        (place / "stranger.py").write_text(STRANGER)
        (place / "specflow.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize("command", ["show", "check", "evaluate", "predict", "export"])
@pytest.mark.parametrize("place", [".", "got/run", "got/run/inner"])
def test_a_project_file_inside_a_run_trusts_nothing(
    command, place, run, monkeypatch, capsys
):
    monkeypatch.chdir(run.parents[1] / place)
    assert main([command, f"run={os.path.relpath(run)}"]) == 2
    message = capsys.readouterr().err
    assert "error[target-untrusted] model._target_: 'stranger.Net'" in message
    assert ("warning[project-untrusted]" in message) == (place != ".")
    assert "stranger" not in sys.modules


def test_a_pyproject_inside_a_run_trusts_nothing(run, monkeypatch):
    (run / "specflow.toml").unlink()
    (run / "pyproject.toml").write_text(f"[tool.specflow]\n{FILE}")
    assert project_file.find(run) is None


def test_the_file_of_another_user_trusts_nothing(run, monkeypatch, capsys):
    file = run.parent / "specflow.toml"
    file.write_text(FILE)
    monkeypatch.chdir(run.parent)
    monkeypatch.setattr(os, "getuid", lambda: file.stat().st_uid + 1)
    if file.stat().st_uid == 0:
        os.chown(file, 4321, -1)
        monkeypatch.setattr(os, "getuid", lambda: 0)
    assert main(["show", "run=run"]) == 2
    message = capsys.readouterr().err.splitlines()
    assert message[0].startswith("warning[project-untrusted] trust: is ignored")
    assert message[1].startswith(
        "error[target-untrusted] model._target_: 'stranger.Net'"
    )
    assert "stranger" not in sys.modules


def test_a_copy_of_a_run_has_no_project(run, tmp_path):
    """A copy of a run that was made here has no project."""
    run_projects.note(run, tmp_path)
    assert run_projects.folder_of(run) == tmp_path
    os.rename(run, tmp_path / "moved")
    assert run_projects.folder_of(tmp_path / "moved") is None
    assert not any("project" in name.name for name in (tmp_path / "moved").iterdir()
                   if name.suffix == ".json")  # fmt: skip
