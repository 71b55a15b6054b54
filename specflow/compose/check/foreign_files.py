"""Settings that a config file of unknown origin may not make by itself.

Such a file came with `--config-dir`. It may describe an experiment; it does not decide
where a command writes, nor the environment of processes. The command line does, and so
does a file of the project's own `config_dir`, of an installed package, or of a folder
that is trusted (`trust=./DIR`).
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from specflow.compose.provenance import Origin, Origins
from specflow.compose.read.config_folders import Folders
from specflow.compose.read.documents import mark_of
from specflow.compose.read.override_grammar import format_value, quote_for_shell
from specflow.compose.read.valid_blocks import read_valid_blocks
from specflow.diagnostics.errors import Diagnostic
from specflow.runtime import project_file
from specflow.runtime.entry_points import brought_folders
from specflow.runtime.plain_tree import ABSENT, leaves, value_at

__all__ = ["Merged", "hydra_settings", "output_directory", "set_by_file"]

Keys = tuple[str, ...]
Merged = Sequence[tuple[Path, str]]
"""Merged files in order, each with its package."""

_OUTPUT = ("output", "dir")
_FOLDERS = (("sweep", "dir"), ("sweep", "subdir"), ("output_subdir",))
"""Settings of Hydra that name a folder in which it writes."""
_LOGS = ("job_logging", "hydra_logging", "launcher")
_PATH_KEY = re.compile(r".*(dir|folder|file|filename|path)")
"""Keys of logs and launchers that name what is written."""
_INSIDE = re.compile(
    r"\$\{\s*(name|seed|now:[^{}]*|hydra\.(job|sweep|runtime\.choices)\.[\w.]*)\s*\}"
)
"""Interpolations that lead out of no folder."""
_PLACE = re.compile(r".*:\d+:\d+", re.DOTALL)
"""Origin in a file."""


def is_known(file: Path, folders: Folders, trusted: Iterable[str]) -> bool:
    """Returns whether a file is the user's own, or of an installed package.

    Args:
        file: the config file.
        folders: config folders; the last one ships with specflow.
        trusted: folders that the user trusts (`trust=./DIR`).
    """
    known = [folders.paths[-1], *brought_folders(), *map(os.path.expanduser, trusted)]
    project = project_file.active()
    if project is not None and project.is_own:
        known += project.config_dirs
    real = Path(os.path.realpath(file))
    return any(real.is_relative_to(os.path.realpath(folder)) for folder in known)


def output_directory(
    tree: Any, origins: Origins, folders: Folders, trusted: Iterable[str], start: str
) -> list[Diagnostic]:
    """Refuses an `output.dir` outside the working directory that a file sets.

    Args:
        tree: the composed experiment, plain and resolved.
        origins: origins of its values.
        folders: config folders.
        trusted: folders that the user trusts.
        start: folder in which the command was started.
    """
    value = value_at(tree, _OUTPUT)
    if not isinstance(value, str) or not is_outside(value, start):
        return []
    return set_by_file(value, origins.leaf(_OUTPUT).exact, folders, trusted)


def set_by_file(
    value: str,
    origin: str,
    folders: Folders,
    trusted: Iterable[str],
    key: str = "output.dir",
) -> list[Diagnostic]:
    """Refuses a place outside, if it was set by a file of unknown origin.

    Args:
        value: the directory, or the URL.
        origin: place that set it; an override is the user's.
        folders: config folders.
        trusted: folders that the user trusts.
        key: setting that names the place.
    """
    if not _PLACE.fullmatch(origin):
        return []  # Looking for its file takes longer than composing the rest.
    files = (it for it in folders.files() if origin.startswith(f"{folders.shown(it)}:"))
    file = next(files, None)
    if file is None or is_known(file, folders, trusted):
        return []
    line = quote_for_shell(f"{key}={format_value(value)}")
    return [_leads_outside(key, value, line, file, origin, folders)]


def hydra_settings(
    config: DictConfig,
    files: Merged,
    folders: Folders,
    typed: Iterable[str],
    trusted: Sequence[str],
) -> list[Diagnostic]:
    """Refuses what a file of unknown origin sets in Hydra's own section.

    Args:
        config: what Hydra composed of the files, with its own section.
        files: the merged files.
        folders: config folders.
        typed: keys that the command line sets.
        trusted: folders that the user trusts.
    """
    sources = [
        (file, package)
        for file, package in files
        if not is_known(file, folders, trusted) and _sets_hydra(file, package, folders)
    ]
    if not sources:
        return []
    typed, start = set(typed), os.getcwd()
    written: Any = OmegaConf.to_container(config.hydra, resolve=False)
    diagnostics = []
    for path, value in _settings(config, written):
        key = ".".join(("hydra", *path))
        if any(key == it or key.startswith(f"{it}.") for it in typed):
            continue
        found = _place(("hydra", *path), files, folders)
        if found is None or found[0] not in [file for file, _ in sources]:
            continue
        file, origin = found
        if path[:1] == ("job",):
            diagnostics.append(_sets_environment(key, value, file, origin, folders))
        elif not isinstance(value, str) or is_outside(_judged(value, config), start):
            line = quote_for_shell(f"{key}={format_value(value)}")
            diagnostics.append(_leads_outside(key, value, line, file, origin, folders))
    return diagnostics


def is_outside(text: str, start: str) -> bool:
    """Returns whether a path leads out of a folder.

    >>> is_outside("runs/x", "/home/me"), is_outside("/home/me/x", "/home/me")
    (False, False)
    >>> is_outside("a/../../x", "/home/me"), is_outside("/tmp/x", "/home/me")
    (True, True)
    """
    path = os.path.normpath(os.path.join(start, os.path.expanduser(text)))
    inside = (os.path.normpath(start), os.path.realpath(start))
    return not any(Path(path).is_relative_to(folder) for folder in inside)


def _settings(config: DictConfig, written: Any) -> list[tuple[Keys, Any]]:
    """Returns (path below `hydra`, value) of each setting that is judged."""
    job = written.get("job") if isinstance(written.get("job"), dict) else {}
    found: list[tuple[Keys, Any]] = []
    copied = job.get("env_copy") or []
    if copied:
        found.append((("job", "env_copy"), copied))
    env_set = job.get("env_set")
    # Hydra has added the copied variables, whose values are no one's business here.
    for name, value in env_set.items() if isinstance(env_set, dict) else ():
        if name not in copied:
            found.append((("job", "env_set", str(name)), value))
    for path in _FOLDERS:
        value = value_at(written, path)
        if value not in (ABSENT, None, "???"):
            found.append((path, value))
    for part in _LOGS:
        for path, value in leaves(written.get(part)):
            if path and isinstance(value, str) and _PATH_KEY.fullmatch(str(path[-1])):
                found.append(((part, *map(str, path)), value))
    return found


def _judged(text: str, config: DictConfig) -> str:
    """Returns a path with its interpolations replaced; `/` if one may lead anywhere."""
    text = _INSIDE.sub("x", text)
    for interpolation, key in re.findall(r"(\$\{([^{}]*)\})", text):
        value = None if ":" in key else _selected(config, key.strip())
        if isinstance(value, bool | int | float) or (
            isinstance(value, str) and re.fullmatch(r"\w[\w.-]*", value)
        ):
            text = text.replace(interpolation, "x")
    return "/" if "${" in text else text


def _selected(config: DictConfig, key: str) -> Any:
    try:
        return OmegaConf.select(config, key)
    except Exception:
        return None  # It has no value before a job runs.


def _place(path: Keys, files: Merged, folders: Folders) -> tuple[Path, str] | None:
    """Returns the last file that sets a path or a section around it, and the place."""
    for length in range(len(path), 0, -1):
        for file, package in reversed(files):
            above = tuple(package.split(".")) if package else ()
            if path[: len(above)] != above or len(above) >= length:
                continue
            shown = folders.shown(file)
            node = read_valid_blocks(file, shown).document.node
            mark = mark_of(node, path[len(above) : length])
            if mark is not None:
                return file, Origin(shown, mark.line + 1, mark.column + 1).exact
    return None


def _sets_hydra(file: Path, package: str, folders: Folders) -> bool:
    if package:
        return package.split(".")[0] == "hydra"
    return "hydra" in read_valid_blocks(file, folders.shown(file)).document.content


def _sets_environment(
    key: str, value: Any, file: Path, origin: str, folders: Folders
) -> Diagnostic:
    line = quote_for_shell(f"++{key}={format_value(value)}")
    return Diagnostic(
        key,
        "a file would set the environment of the sweep's trials",
        hint=_hint(line, file, folders),
        origin=origin,
        code="file-untrusted",
    )


def _leads_outside(
    key: str, value: Any, line: str, file: Path, origin: str, folders: Folders
) -> Diagnostic:
    return Diagnostic(
        key,
        f"a file would write to {value!r}, outside the working directory",
        hint=_hint(line, file, folders),
        origin=origin,
        code="file-untrusted",
    )


def _hint(line: str, file: Path, folders: Folders) -> str:
    folder = next(it for it in (*folders.paths, file.parent) if file.is_relative_to(it))
    shown = folders.shown(folder)
    shown = shown if os.path.isabs(shown) else os.path.join(".", shown)
    return (
        f"If you mean it, type {line}, or trust the files of this folder: "
        f"{quote_for_shell(f'trust={shown}')}."
    )
