"""The git commits of the folders that a run is made from."""

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["revision", "revisions"]

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_PATIENCE_S = 2.0
_OF_ANOTHER = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}
"""Environment, as in a hook of git: another repository than that of the folder."""


def revisions(folders: Iterable[str | Path]) -> dict[str, dict[str, Any]]:
    """The commits of the repositories in which folders lie, by their own folders.

    Args:
        folders: any; a link counts as the folder that it leads to.

    Returns:
        Folder of a repository -> its commit, as `revision` gives it; nothing where
        there is none.
    """
    found = {}
    for folder in dict.fromkeys(os.path.realpath(one) for one in folders):
        root = _root(Path(folder))
        if root is not None and str(root) not in found:
            found[str(root)] = revision(root)
    return {root: commit for root, commit in found.items() if commit is not None}


def revision(folder: Path) -> dict[str, Any] | None:
    """The commit that is checked out in a folder or above it.

    The repository is read as files, so that git need not be installed; git is asked
    only whether tracked files have changed since.

    Args:
        folder: where to look first.

    Returns:
        `commit`, and `dirty`, which is None where git cannot say it; None where there
        is no repository, or nothing is committed yet.
    """
    root = _root(folder)
    try:
        commit = root and _commit(root / ".git")
    except (OSError, ValueError):
        return None  # A comfort: no run fails because of it.
    return {"commit": commit, "dirty": _is_dirty(root)} if root and commit else None


def _root(folder: Path) -> Path | None:
    """The nearest folder with a repository, from a folder upwards."""
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
            found = place.read_text(encoding="utf-8").strip()
            return found if _COMMIT.fullmatch(found) else None
    packed = common / "packed-refs"
    if packed.is_file():
        for line in packed.read_text(encoding="utf-8").split("\n"):
            commit, _, ref = line.partition(" ")
            if ref == name and _COMMIT.fullmatch(commit):
                return commit
    return None


def _is_dirty(folder: Path) -> bool | None:
    # Without fsmonitor, which a repository could have run a program.
    others = {key: it for key, it in os.environ.items() if key not in _OF_ANOTHER}
    words = ["git", "-c", "core.fsmonitor=false", "status", "--porcelain", "-uno"]
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env={**others, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return bool(done.stdout.strip()) if done.returncode == 0 else None
