"""The git commit of the folder that a run was started in."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["revision"]

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_PATIENCE_S = 2.0


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
    try:
        for above in (folder.absolute(), *folder.absolute().parents):
            if (above / ".git").exists():
                commit = _commit(above / ".git")
                return commit and {"commit": commit, "dirty": _is_dirty(above)}
    except (OSError, ValueError):
        pass  # A comfort: no run fails because of it.
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
    words = ["git", "-c", "core.fsmonitor=false", "status", "--porcelain", "-uno"]
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return bool(done.stdout.strip()) if done.returncode == 0 else None
