"""The project file: config folders and trusted packages of the commands in a folder.

`specflow.toml`, or the table `[tool.specflow]` of `pyproject.toml`:

    config_dir = "conf"        # or a list; relative to the folder of the file
    trust = ["my_package"]     # packages in which targets may resolve

The nearest file is used, from the working directory up to the file system's root, as in
Ruff and pytest; of two in a folder, `specflow.toml`. A file inside a run directory
is ignored: a run is data, and must not grant trust. For the same reason `trust` is read
only from a file that the user or root owns.
"""

import dataclasses
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest

__all__ = ["Project", "active", "enter", "find", "import_folder"]

_KEYS = ("config_dir", "trust")
_OF_RUNS = ("manifest.json", "origins.json", "checkpoints")
"""Files beside `config.yaml` in a run directory."""
_TABLE = re.compile(
    r"""tool\b.*\bspecflow\b|^\s*\[\s*["']?tool["']?\s*\]""", re.MULTILINE
)
"""Matches a `pyproject.toml` with a table of specflow; others are not parsed."""


@dataclasses.dataclass(frozen=True)
class Project:
    """A project: the folder of its file, and the file's values."""

    folder: Path
    file: Path | None = None
    """None if there is no file, only a folder from which packages are imported."""
    config_dirs: tuple[str, ...] = ()
    """Config folders, absolute."""
    trust: tuple[str, ...] = ()
    """Packages in which targets may resolve."""
    trusted_at: str = ""
    """File and line of `trust`."""
    is_own: bool = False
    """The file belongs to this user or root: its config folders are the user's own."""
    warning: Diagnostic | None = None
    """Reason why its `trust` is ignored."""


_active: Project | None = None


def active() -> Project | None:
    """Returns the project of the running command; None outside of one."""
    return _active


def enter(project: Project | None) -> None:
    """Sets the project of the running command."""
    global _active
    _active = project


def import_folder() -> str:
    """Returns the folder from which trusted packages are imported."""
    return str(_active.folder) if _active else os.getcwd()


def find(start: Path) -> Project | None:
    """Finds the project of a folder.

    Args:
        start: the folder.

    Raises:
        ConfigError: its file is malformed; one error, with the line.
    """
    folders = [start, *start.parents]
    inside = max(
        (index + 1 for index, path in enumerate(folders) if _is_run(path)), default=0
    )
    project = next(filter(None, map(read, folders[inside:])), None)
    for folder in folders[:inside]:
        if (file := folder / "specflow.toml").is_file():
            warning = Diagnostic(
                _shown(file),
                f"is ignored inside the run directory {folders[inside - 1]}",
                code="project-untrusted",
            )
            project = dataclasses.replace(project or Project(start), warning=warning)
    return project


def read(folder: Path) -> Project | None:
    """Reads the project file of a folder; None if it has none.

    Raises:
        ConfigError: the file is malformed.
    """
    for name in ("specflow.toml", "pyproject.toml"):
        file = folder / name
        text = _text(file)
        if text is None or (name == "pyproject.toml" and not _TABLE.search(text)):
            continue
        table: Any = _parsed(text, file)
        if name == "pyproject.toml":
            table = table.get("tool", {})
            table = table.get("specflow") if isinstance(table, Mapping) else None
            if table is None:
                continue
        return _project(table, text, file)
    return None


def _project(table: Any, text: str, file: Path) -> Project:
    def refuse(key: str, problem: str, expected: str = "", hint: str = "") -> None:
        raise ConfigError(
            _diagnostic(file, _line(text, key), key, problem, expected, hint)
        )

    if not isinstance(table, Mapping):
        refuse("specflow", f"got {table!r}", "a table")
    for key in table:
        if key not in _KEYS:
            known = f"Keys: {', '.join(_KEYS)}."
            refuse(
                key,
                "no such key",
                hint=f"{did_you_mean(nearest(key, _KEYS))} {known}".strip(),
            )
    lists: dict[str, tuple[str, ...]] = {}
    for key in _KEYS:
        value = table.get(key, [])
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(
            isinstance(item, str) and item for item in value
        ):
            refuse(key, f"got {table[key]!r}", "a text, or a list of texts")
        lists[key] = tuple(value)
    for name in lists["trust"]:
        if not all(part.isidentifier() for part in name.split(".")):
            refuse("trust", f"got {name!r}", "names of packages")
    folders = [file.parent / os.path.expanduser(name) for name in lists["config_dir"]]
    for folder in folders:
        if not folder.is_dir():
            expected = "a config folder, with experiment/mine.yaml for example"
            refuse("config_dir", f"no such folder: {folder}", expected)
    is_own = _is_own(file)
    trusted_at = f"{_shown(file)}:{_line(text, 'trust')}"
    warning = Diagnostic(
        "trust",
        "is ignored, because the file belongs to another user",
        hint=f"Give it on the command line: trust=[{','.join(lists['trust'])}].",
        origin=trusted_at,
        code="project-untrusted",
    )
    return Project(
        folder=file.parent,
        file=file,
        config_dirs=tuple(map(str, folders)),
        trust=lists["trust"] if is_own else (),
        is_own=is_own,
        trusted_at=trusted_at,
        warning=warning if lists["trust"] and not is_own else None,
    )


def _is_run(folder: Path) -> bool:
    if (folder / "estimator.json").is_file():
        return True  # Made in Python.
    return (folder / "config.yaml").is_file() and any(
        (folder / name).exists() for name in _OF_RUNS
    )


def _is_own(file: Path) -> bool:
    """Returns True for a file of this user or of root."""
    if sys.platform == "win32":
        return True
    return file.stat().st_uid in (0, os.getuid())


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError, PermissionError, IsADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(
            _diagnostic(file, 1, "", f"cannot be read: {error}")
        ) from None


def _parsed(text: str, file: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).partition(" (at ")
        found = re.search(r"line (\d+), column (\d+)", place)
        line = int(found[1]) if found else len(text.splitlines())
        raise ConfigError(
            _diagnostic(file, line, "", f"is not valid TOML: {reason}")
        ) from None


def _line(text: str, key: str) -> int:
    """Returns the line of a key; that of its table if the key is not found."""
    lines = text.splitlines()
    begin = next(
        (number for number, line in enumerate(lines) if "tool.specflow" in line), 0
    )
    matching = (
        number
        for number in range(begin, len(lines))
        if re.match(rf"""[\w.\s]*["']?{re.escape(key)}["']?\s*=""", lines[number])
    )
    return next(matching, begin) + 1


def _diagnostic(
    file: Path,
    line: int,
    key: str,
    problem: str,
    expected: str = "",
    hint: str = "",
) -> Diagnostic:
    shown = _shown(file)
    origin = f"{shown}:{line}"
    return Diagnostic(key or shown, problem, expected, hint, origin, "project-file")


def _shown(file: Path) -> str:
    """The path as shown: relative if its folder contains the working directory."""
    return (
        os.path.relpath(file) if Path.cwd().is_relative_to(file.parent) else str(file)
    )
