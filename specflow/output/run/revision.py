"""Git commits of the folders that a run is started from."""

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["revision", "revisions"]

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_GIT_TIMEOUT_S = 2.0
_REDIRECTIONS = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}
"""Variables that name another repository than that of the folder, as in git hooks."""


def revisions(folders: Iterable[str | Path]) -> dict[str, dict[str, Any]]:
    """Finds the commit of each repository that contains one of the folders.

    Args:
        folders: any; links are resolved.

    Returns:
        Root of a repository -> its commit, from `revision`; folders outside of a
        repository are left out.
    """
    commits = {}
    for folder in dict.fromkeys(os.path.realpath(path) for path in folders):
        root = _root(Path(folder))
        if root is not None and str(root) not in commits:
            commits[str(root)] = revision(root)
    return {root: commit for root, commit in commits.items() if commit is not None}


def revision(folder: Path) -> dict[str, Any] | None:
    """Finds the commit that is checked out in a folder or above it.

    Reads the files of the repository, so that git need not be installed; git only
    reports whether tracked files have changed.

    Args:
        folder: where the search begins, upwards.

    Returns:
        `commit`, and `dirty`, which is None if git is unavailable; None if there is no
        repository or no commit.
    """
    root = _root(folder)
    try:
        commit = root and _commit(root / ".git")
    except (OSError, ValueError):
        return None  # Informative only: no run fails because of it.
    return {"commit": commit, "dirty": _is_dirty(root)} if root and commit else None


def _root(folder: Path) -> Path | None:
    """Root of the nearest repository, from a folder upwards."""
    try:
        for above in (folder.absolute(), *folder.absolute().parents):
            if (above / ".git").exists():
                return above
    except (OSError, ValueError):
        pass
    return None


def _commit(git: Path) -> Any:
    if git.is_file():  # Of a worktree or a submodule: `gitdir: PATH`.
        git = git.parent / git.read_text(encoding="utf-8").partition(":")[2].strip()
    common = git
    if (git / "commondir").is_file():
        common = git / (git / "commondir").read_text(encoding="utf-8").strip()
    head = (git / "HEAD").read_text(encoding="utf-8").strip()
    name = head.removeprefix("ref:").strip()
    if name == head:
        return head if _COMMIT.fullmatch(head) else None
    for place in (git / name, common / name):
        if place.is_file():
            commit = place.read_text(encoding="utf-8").strip()
            return commit if _COMMIT.fullmatch(commit) else None
    packed = common / "packed-refs"
    if packed.is_file():
        for line in packed.read_text(encoding="utf-8").split("\n"):
            commit, _, ref = line.partition(" ")
            if ref == name and _COMMIT.fullmatch(commit):
                return commit
    return None


def _is_dirty(folder: Path) -> bool | None:
    # Without fsmonitor, by which a repository could run a program.
    environment = {k: v for k, v in os.environ.items() if k not in _REDIRECTIONS}
    command = ["git", "-c", "core.fsmonitor=false", "status", "--porcelain", "-uno"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return bool(done.stdout.strip()) if done.returncode == 0 else None
