"""Folders of sweeps; each belongs to one sweep."""

import datetime
import itertools
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf

from specflow.config.sections.mesh import INDEX
from specflow.diagnostics.errors import Diagnostic, OutputError
from specflow.runtime.filesystem import check_output_folder

__all__ = ["check_directory", "new_directories", "unwritable"]

_NOW = re.compile(r"\$\{now:([^}]*)\}")
"""Hydra's interpolation of the time."""


def check_directory(config: DictConfig, setting: str) -> None:
    """Refuses a folder of a sweep that cannot be made, before the first job.

    Args:
        config: config that Hydra composed; `hydra.sweep.dir` is checked up to its first
            interpolation.
        setting: key that sets the folder, for messages.

    Raises:
        ConfigError: it is a file, or inside one.
    """
    written: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    fixed, interpolation, _ = str(written["dir"]).partition("${")
    folder = fixed.rpartition("/")[0] if interpolation else fixed
    if folder:
        check_output_folder(folder, setting)


def new_directories(config: DictConfig, names: Iterable[str]) -> list[str]:
    """Makes the folders of a sweep that are named by the time, unique to it.

    Args:
        config: config that Hydra composed; `hydra.sweep.dir` is their name.
        names: names of the experiments, each with its own folder.

    Returns:
        The override that makes Hydra use them; none if the time is not in the name.
    """
    written: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    now = _NOW.search(str(written["dir"]))
    # Process 0 makes the folder; the others receive its directories.
    if now is None or os.environ.get(INDEX, "0") != "0":
        return []
    own = [str(name)] if (name := OmegaConf.select(config, "name")) else []
    stamp = datetime.datetime.now().strftime(now[1])
    named = str(written["dir"]).replace(now[0], stamp)
    paths = [named.replace("${name}", name) for name in sorted({*own, *names})]
    for number in itertools.count(1):
        end = f"_{number}" if number > 1 else ""
        if "${" in paths[0] or _made([f"{path}{end}" for path in paths]):
            return [f"hydra.sweep.dir={_as_text(f'{named}{end}')}"]
    raise AssertionError


def _made(paths: Iterable[str]) -> bool:
    """Makes all folders, or none and returns False if one exists."""
    made: list[Path] = []
    path = Path()
    try:
        for path in map(Path, paths):
            # mkdir is atomic, so that two processes never share a name.
            path.mkdir(parents=True)
            made.append(path)
    except FileExistsError:
        for path in made:
            path.rmdir()
        return False
    except OSError as error:
        raise unwritable(path, error) from error
    return True


def unwritable(path: Path, error: OSError) -> OutputError:
    """Returns the error of a folder that cannot be written."""
    problem = f"cannot be written: {error.strerror or error}"
    hint = "Free disk space or fix the permissions, or choose another output.dir."
    return OutputError(
        Diagnostic(str(path), problem, hint=hint, code="output-unwritable")
    )


def _as_text(text: str) -> str:
    """Quotes a text as an override, with its interpolations left to Hydra."""
    return QuotedString(text, Quote.single).with_quotes()
