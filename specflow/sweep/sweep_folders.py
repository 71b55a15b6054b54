"""Folders of sweeps: each is made for one sweep alone."""

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


def check_directory(whole: DictConfig, setting: str) -> None:
    """Refuses a sweep's folder that cannot be made, before the first job.

    Args:
        whole: what Hydra composed; of `hydra.sweep.dir`, what comes before its first
            interpolation is looked at.
        setting: what names the folder, for messages.

    Raises:
        ConfigError: it is a file, or lies in one.
    """
    written: Any = OmegaConf.to_container(whole.hydra.sweep, resolve=False)
    fixed, interpolation, _ = str(written["dir"]).partition("${")
    folder = fixed.rpartition("/")[0] if interpolation else fixed
    if folder:
        check_output_folder(folder, setting)


def new_directories(whole: DictConfig, names: Iterable[str]) -> list[str]:
    """Makes the folders of a sweep that are named by the time, as no other has them.

    Args:
        whole: what Hydra composed; `hydra.sweep.dir` says what they are called.
        names: of the experiments, which have a folder each.

    Returns:
        The override that has Hydra take them; none if the folder is named otherwise.
    """
    written: Any = OmegaConf.to_container(whole.hydra.sweep, resolve=False)
    now = _NOW.search(str(written["dir"]))
    # Of several processes the first has the folder; the others take its directories.
    if now is None or os.environ.get(INDEX, "0") != "0":
        return []
    own = [str(name)] if (name := OmegaConf.select(whole, "name")) else []
    stamp = datetime.datetime.now().strftime(now[1])
    named = str(written["dir"]).replace(now[0], stamp)
    paths = [named.replace("${name}", name) for name in sorted({*own, *names})]
    for number in itertools.count(1):
        end = f"_{number}" if number > 1 else ""
        if "${" in paths[0] or _made([f"{path}{end}" for path in paths]):
            return [f"hydra.sweep.dir={_as_text(f'{named}{end}')}"]
    raise AssertionError


def _made(paths: Iterable[str]) -> bool:
    """Makes folders, or none of them where one is there."""
    made: list[Path] = []
    path = Path()
    try:
        for path in map(Path, paths):
            # Made at once, so that two processes never share a name.
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
    """The error of a folder that the system does not let be written."""
    problem = f"cannot be written: {error.strerror or error}"
    hint = "Free disk space or fix the permissions, or choose another output.dir."
    return OutputError(
        Diagnostic(str(path), problem, hint=hint, code="output-unwritable")
    )


def _as_text(text: str) -> str:
    """A text in the grammar of overrides, its interpolations left to Hydra."""
    return QuotedString(text, Quote.single).with_quotes()
