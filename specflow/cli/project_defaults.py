"""Defaults of a command line from the project file."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from specflow.diagnostics.errors import ConfigError
from specflow.runtime import project_file, run_projects
from specflow.runtime.project_file import Project

__all__ = ["completed"]


@contextlib.contextmanager
def completed(arguments: argparse.Namespace, trust: Sequence[str]) -> Iterator[None]:
    """Completes the arguments of a command, and activates its project in the block.

    The project of a run is the one in which it was made on this machine; otherwise it
    is that of the working directory. The command line wins: `--config-dir` and `trust=`
    replace the file's values. A run directory never adds trust of its own.

    Args:
        arguments: of the command; changed in place.
        trust: its arguments `trust=...`.

    Raises:
        ConfigError: the project file is malformed.
    """
    project_file.enter(_complete(arguments, trust))
    try:
        yield
    finally:
        project_file.enter(None)


def _complete(arguments: argparse.Namespace, trust: Sequence[str]) -> Project | None:
    """Completes the arguments, and returns the project."""
    if "config_dir" not in arguments:
        return None  # The command reads no configs.
    if (
        arguments.command
    ):  # The processes that it starts read the project file themselves.
        own = [f"--config-dir={folder}" for folder in arguments.config_dir]
        arguments.command[1:1] = [*own, *trust]
        return None
    arguments.typed_dirs = arguments.config_dir
    words = getattr(arguments, "overrides", None) or getattr(arguments, "words", None)
    try:
        found = _project_of(words or ())
    except ConfigError:
        if getattr(arguments, "line", None) is None:
            raise
        found = None  # A shell that completes a line shows no errors.
    if found is None and trust:
        found = Project(folder=Path.cwd())
    if found is None:
        return None
    arguments.config_dir = arguments.config_dir or [*found.config_dirs]
    if not trust and found.warning is not None:
        from specflow.diagnostics.rendering import line

        print(line(found.warning, kind="warning"), file=sys.stderr)
    if not trust and found.trust:
        trust = [f"trust=[{','.join(found.trust)}]"]
        arguments.trusted_at = found.trusted_at
    if trust:
        _import_from(str(found.folder))
        for name in ("overrides", "words"):
            if name in arguments:
                setattr(arguments, name, [*trust, *getattr(arguments, name)])
    return found


def _project_of(words: Sequence[str]) -> Project | None:
    runs = [word.removeprefix("run=") for word in words if word.startswith("run=")]
    folder = run_projects.folder_of(runs[-1].strip("'\"")) if runs else None
    if folder is None:
        return project_file.find(Path.cwd())
    return project_file.read(folder) or Project(folder=folder)


def _import_from(folder: str) -> None:
    """Makes a folder importable, in this process and in those that it starts."""
    if folder not in sys.path:
        sys.path.insert(0, folder)
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if folder not in inherited:
        paths = os.pathsep.join(filter(None, [folder, *inherited]))
        os.environ["PYTHONPATH"] = paths
