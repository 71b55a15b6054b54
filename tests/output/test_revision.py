"""The commit of a run, as reported by `git rev-parse HEAD` and `git status`."""

import json
import subprocess

import pytest

from specflow.output import open_run
from specflow.output.run.revision import revision, revisions
from specflow.runtime import project_file


def git(folder, *words):
    own = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *own, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    (folder / "below").mkdir(parents=True)
    git(folder, "init", "-q")
    assert revision(folder) is None
    (folder / "file").write_text("a")
    git(folder, "add", "file")
    git(folder, "commit", "-qm", "one")
    return folder


def test_the_commit_is_that_of_git_wherever_it_is_kept(repository, tmp_path):
    commit = git(repository, "rev-parse", "HEAD")
    clean = {"commit": commit, "dirty": False}
    assert revision(repository) == revision(repository / "below") == clean
    git(repository, "worktree", "add", "-q", str(tmp_path / "other"), "-b", "other")
    assert revision(tmp_path / "other") == clean
    git(repository, "pack-refs", "--all")
    assert revision(repository) == revision(tmp_path / "other") == clean
    git(repository, "checkout", "-q", "--detach")
    assert revision(repository) == clean


def test_a_change_of_a_tracked_file_is_reported(repository):
    (repository / "untracked").write_text("b")
    assert revision(repository)["dirty"] is False
    (repository / "file").write_text("b")
    assert revision(repository)["dirty"] is True


def test_git_need_not_be_installed(repository, monkeypatch):
    commit = git(repository, "rev-parse", "HEAD")
    monkeypatch.setenv("PATH", "")
    assert revision(repository) == {"commit": commit, "dirty": None}


def test_outside_of_a_repository_there_is_none(tmp_path):
    assert revision(tmp_path) is None
    (tmp_path / ".git").write_text("gitdir: nowhere")
    assert revision(tmp_path) is None


def test_a_manifest_has_the_commit(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(repository)
    open_run(tmp_path / "run", "seed: 0\n").close()
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["git"] == {str(repository): revision(repository)}


def test_a_manifest_has_the_commits_of_project_and_configs(
    repository, tmp_path, monkeypatch
):
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "conf").mkdir()
    git(configs, "init", "-q")
    git(configs, "commit", "--allow-empty", "-qm", "one")
    (tmp_path / "link").symlink_to(configs / "conf")
    away = tmp_path / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    monkeypatch.setattr(
        project_file, "active", lambda: project_file.Project(repository)
    )
    open_run("run", "seed: 0\n", config_dirs=["../link", repository]).close()
    manifest = json.loads((away / "run" / "manifest.json").read_text())
    assert manifest["git"] == {
        str(repository): {
            "commit": git(repository, "rev-parse", "HEAD"),
            "dirty": False,
        },
        str(configs): {"commit": git(configs, "rev-parse", "HEAD"), "dirty": False},
    }


def test_the_folder_decides_and_not_the_environment_of_a_hook(
    repository, tmp_path, monkeypatch
):
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    (repository / "file").write_text("b")
    assert revision(repository)["dirty"] is True


def test_an_odd_repository_fails_nothing(repository, tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    (repository / ".git" / "HEAD").write_bytes(b"ref: \xff\xfe")
    assert revisions([loop, repository, tmp_path / "no such folder", ""]) in (
        {},
        revisions([""]),  # The tests' own repository, if this is one.
    )
