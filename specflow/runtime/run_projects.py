"""Records in which project each run of this user was made on this machine.

With it, a run evaluates from any folder. The record is in the user's state folder, not
in the run: a run from elsewhere must not choose from where code is imported. A run that
was moved has no project; its commands are run in the folder of the project.
"""

import hashlib
import os
from pathlib import Path

__all__ = ["folder_of", "note"]


def note(run: str | Path, folder: str | Path) -> None:
    """Records the folder of a run's project; a failure to write is ignored."""
    if (file := _file(run)) is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{folder}\n", encoding="utf-8")
    except OSError:
        return


def folder_of(run: str | Path) -> Path | None:
    """Returns the folder of a run's project; None if unknown or missing."""
    file = _file(run)
    try:
        folder = Path(file.read_text(encoding="utf-8").rstrip("\n")) if file else None
    except (OSError, ValueError):
        return None
    return folder if folder is not None and folder.is_dir() else None


def _file(run: str | Path) -> Path | None:
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    if base.startswith("~"):
        return None  # A user id without a home.
    name = hashlib.sha256(
        os.path.realpath(os.path.expanduser(run)).encode()
    ).hexdigest()[:32]
    return Path(base) / "specflow" / "projects" / name
