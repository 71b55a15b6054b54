"""Ids of runs at trackers: `trackers.json` in the directory of a run or sweep."""

import contextlib
import json
import uuid
from collections.abc import Callable
from pathlib import Path

from specflow.output.files import write_text
from specflow.output.json_values import to_json

__all__ = ["TRACKERS", "creation_id", "once", "run_id", "set_run_id"]

TRACKERS = "trackers.json"
"""Name of the file."""
_TIMEOUT_S = 60.0


def run_id(folder: Path, tracker: str) -> str | None:
    """Returns the id that a tracker gave to the run of a folder; None without one."""
    value = _read(folder).get(tracker)
    return value if isinstance(value, str) else None


def set_run_id(folder: Path, tracker: str, value: str) -> None:
    """Stores the id of a run.

    Raises:
        OutputError: the file cannot be written.
    """
    ids = _read(folder)
    if ids.get(tracker) != value:
        write_text(folder / TRACKERS, to_json(ids | {tracker: value}))


def creation_id(folder: Path, tracker: str) -> str:
    """Returns a text that marks what a tracker creates for a folder, always the same.

    Raises:
        OutputError: the file cannot be written.
    """
    key = f"{tracker}.creation"
    value = run_id(folder, key)
    if value is None:
        value = uuid.uuid4().hex
        set_run_id(folder, key, value)
    return value


def once(folder: Path, tracker: str, create: Callable[[], str]) -> str:
    """Returns the id of a sweep, which the first of its trials creates.

    Args:
        folder: of the sweep.
        tracker: name of the tracker.
        create: makes the parent at the tracker, and returns its id; called by one
            process at a time.

    Raises:
        OutputError: the file cannot be written.
    """
    if (known := run_id(folder, tracker)) is not None:
        return known
    import filelock  # Tens of milliseconds, which only trials of a sweep need.

    lock = filelock.FileLock(folder / ".trackers.lock", timeout=_TIMEOUT_S)
    with lock:
        value = run_id(folder, tracker)
        if value is None:
            value = create()
            set_run_id(folder, tracker, value)
        return value


def _read(folder: Path) -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return dict(json.loads((folder / TRACKERS).read_text(encoding="utf-8")))
    return {}
